"""Whether `--max-drop 0.5%` holds on data that the search never saw.

    python benchmarks/bound.py MODELS DATA [--target TARGET] [--precision NAME] [--max-drop SHARE]

The search has the labelled items that models are calibrated on, 512, 256 and 221; what is held out is the test set of
2,000, 200 and 1,000. The drop there is measured in both ways: by items near a tie (edgec.near_ties), as the search
does, and by counting, which of 200 items that lose nothing shows no drop below 1.9 %.
"""

from __future__ import annotations

import argparse
import tempfile
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from int8 import Labelled, judge, labelled, reference_scores, scores
from model_set import read_models

from edgec.bounds import share
from edgec.driver import build
from edgec.near_ties import drop_near_ties
from edgec.paired import score_interval

Array = np.ndarray[Any, Any]
TRUTHS = {"resnet8_fashion_mnist": "fashion_mnist", "dscnn_kws_espeak10": "kws_espeak10", "magika_v3_3": "magika_files"}


def class_numbers(truths: Array, answers: Array) -> Array:
    """Names of labels as the class that items of that name are most often given."""
    if truths.dtype.kind != "U":
        return truths
    likeliest = {n: Counter(answers[truths == n].tolist()).most_common(1)[0][0] for n in set(truths.tolist())}
    return np.array([likeliest[n] for n in truths.tolist()])


def held(of: Labelled, models: Path, data: Path, target: str, precision: str, most: str, work: Path) -> bool:
    (model,) = read_models(models, [of.model])
    shape = next(iter(model.shapes.values()))
    with np.load(data / f"{TRUTHS[of.model]}.npz") as f:
        truths = f["calib_y"]
    labels = class_numbers(truths, reference_scores(model.path, of.calib, shape).argmax(1))
    calib = work / f"{of.model}.npz"
    np.savez(calib, **{next(iter(model.shapes)): of.calib, "labels": labels})  # type: ignore[arg-type]
    options = model.options(precision=precision, calib=str(calib), max_drop=most)
    result = build(model.path, target, work / of.model, replace(options, verify_inputs=1))
    facts = result.receipt.get("quantization") or result.receipt["halves"]
    search = facts["search"]
    wide, narrow = reference_scores(model.path, of.x, shape), scores(result.directory, of.x)
    right = judge(of, wide)
    before, after = right(wide), right(narrow)
    lost, won = int((before & ~after).sum()), int((~before & after).sum())
    counted = score_interval(lost, won, len(of.x))[1]
    near = drop_near_ties(wide, narrow, class_numbers(of.y, wide.argmax(1)))
    assert near is not None
    within = near.high <= share("--max-drop", most)
    print(f"{of.model:24} bound {most}; on {len(labels)} items of the search {search['measured']}, "
          f"{search['in_floats']} operators in floats; on {len(of.x)} held out: {near.changed:.3%} change, upper "
          f"end of the drop {near.high:.3%}: {'holds' if within else 'DOES NOT HOLD'}; "
          f"counted: lost {lost} won {won}, upper end {counted:.2%}", flush=True)  # fmt: skip
    return within


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", type=Path)
    parser.add_argument("data", type=Path)
    parser.add_argument("--target", default="host")
    parser.add_argument("--precision", default="int8")
    parser.add_argument("--max-drop", default="0.5%")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="edgec-bound-") as work:
        results = [
            held(of, chosen.models, chosen.data, chosen.target, chosen.precision, chosen.max_drop, Path(work))
            for of in labelled(chosen.data)
        ]
    print(f"{sum(results)} of {len(results)} hold")


if __name__ == "__main__":
    main()
