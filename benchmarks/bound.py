"""Whether `--max-drop` holds on data that the search never saw.

    python benchmarks/bound.py MODELS DATA [--target TARGET]

The search has the labelled items that models are calibrated on; what is held out is the test set. Each bound is the
least half percent that both can show where nothing is lost: 512 and 2,000 items, 256 and 200, 221 and 1,000.
"""

from __future__ import annotations

import argparse
import tempfile
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from int8 import CALIBRATED_ON, Labelled, judge, labelled, reference_scores, scores
from model_set import read_models

from edgec.driver import build
from edgec.paired import score_interval

Array = np.ndarray[Any, Any]
BOUNDS = {"resnet8_fashion_mnist": "1%", "dscnn_kws_espeak10": "2%", "magika_v3_3": "2%"}
TRUTHS = {"resnet8_fashion_mnist": "fashion_mnist", "dscnn_kws_espeak10": "kws_espeak10", "magika_v3_3": "magika_files"}


def class_numbers(truths: Array, answers: Array) -> Array:
    """Names of labels as the class that items of that name are most often given."""
    if truths.dtype.kind != "U":
        return truths
    likeliest = {n: Counter(answers[truths == n].tolist()).most_common(1)[0][0] for n in set(truths.tolist())}
    return np.array([likeliest[n] for n in truths.tolist()])


def held(of: Labelled, models: Path, data: Path, target: str, work: Path) -> bool:
    (model,) = read_models(models, [of.model])
    shape = next(iter(model.shapes.values()))
    with np.load(data / f"{TRUTHS[of.model]}.npz") as f:
        truths = f["calib_y"]
    labels = class_numbers(truths, reference_scores(model.path, of.calib, shape).argmax(1))
    calib = work / f"{of.model}.npz"
    np.savez(calib, **{next(iter(model.shapes)): of.calib, "labels": labels})  # type: ignore[arg-type]
    options = model.options(precision="int8", calib=str(calib), calib_samples=CALIBRATED_ON, max_drop=BOUNDS[of.model])
    result = build(model.path, target, work / of.model, replace(options, verify_inputs=1))
    search = result.receipt["quantization"]["search"]
    wide = reference_scores(model.path, of.x, shape)
    right = judge(of, wide)
    before, after = right(wide), right(scores(result.directory, of.x))
    lost, won = int((before & ~after).sum()), int((~before & after).sum())
    high = score_interval(lost, won, len(of.x))[1]
    within = high <= float(BOUNDS[of.model].rstrip("%")) / 100
    print(f"{of.model:24} bound {BOUNDS[of.model]}; on {len(labels)} items of the search {search['measured']}, "
          f"{search['in_floats']} operators in floats; on {len(of.x)} held out: lost {lost} won {won}, upper end of "
          f"the drop {high:.2%}: {'holds' if within else 'DOES NOT HOLD'}", flush=True)  # fmt: skip
    return within


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", type=Path)
    parser.add_argument("data", type=Path)
    parser.add_argument("--target", default="host")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="edgec-bound-") as work:
        results = [held(of, chosen.models, chosen.data, chosen.target, Path(work)) for of in labelled(chosen.data)]
    print(f"{sum(results)} of {len(results)} hold")


if __name__ == "__main__":
    main()
