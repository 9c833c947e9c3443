"""Models that onnxruntime quantised, run by edgec and by onnxruntime: the same file, in one interleaved run.

    python benchmarks/qdq.py MODELS DATA [MODEL ...] [--form u8|i8|qoperator] [--target TARGET]

For each: the share of multiply-adds on bytes, what fell back to floats, signal to noise against onnxruntime's answers,
latency on one thread (host) or executed instructions (emulated targets), and on the labelled sets both accuracies.
"""

from __future__ import annotations

import argparse
import math
import statistics
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from int8 import SPEED, Labelled, feeds_of, judge, labelled, reference_scores, samples, scores, theirs
from model_set import Model, read_models

from edgec.bench import _interleaved
from edgec.driver import build
from edgec.reference import fast_session
from edgec.runtime.session import load

FORMS = {"u8": (False, "QDQ"), "i8": (True, "QDQ"), "qoperator": (False, "QOperator")}
SETS = ("resnet8_fashion_mnist", "dscnn_kws_espeak10")


def compare(model: Model, form: str, target: str, of: Labelled | None, work: Path) -> float:
    """One line a model; how many times as fast as onnxruntime, or NaN."""
    signed, file_format = FORMS[form]
    feeds = samples(model, of.calib) if of is not None else _drawn(model)
    path = theirs(model, feeds, work, "minmax", signed, file_format)
    out = work / f"{path.stem}-edgec"
    receipt = build(path, target, out, model.options(threads=1, verify_inputs=2)).receipt
    facts = receipt["quantization"]
    refused = Counter(f"{row['op'].split()[0]} {row['code']}" for row in facts["refused"])
    noise = receipt["verification"]["against_model"]["signal_to_noise_db"].values()
    said = f"{facts['macs_share']:.1%} on bytes, {min((n for n in noise if n is not None), default=math.inf):.1f} dB"
    ratio = math.nan
    if target.startswith("host"):
        feed, session = feeds[0], fast_session(path, 1)
        with load(out) as ours:
            times = _interleaved({"ours": lambda: ours.run(None, feed), "ort": lambda: session.run(None, feed)}, 41)
        mine, other = (statistics.median(times[k]) * 1e6 for k in ("ours", "ort"))
        ratio = other / mine
        said += f", {mine:.1f} µs, onnxruntime {other:.1f} µs: {ratio:.2f}x"
    else:
        said += f", {receipt['verification']['instructions'] / 1e6:.3f} M instructions"
    if of is not None:
        shape = next(iter(model.shapes.values()))
        right = judge(of, reference_scores(model.path, of.x, shape))
        found = {"float": model.path, "onnxruntime": path}
        marks = {k: right(reference_scores(p, of.x, shape)).mean() for k, p in found.items()}
        narrow = scores(out, of.x)
        same = (narrow.argmax(1) == reference_scores(path, of.x, shape).argmax(1)).mean()
        said += (f", accuracy {right(narrow).mean():.4f}, onnxruntime {marks['onnxruntime']:.4f}, float "
                 f"{marks['float']:.4f}, same answers {same:.4f}")  # fmt: skip
    print(f"{model.name:28} {form:9} {said}", dict(refused) or "", flush=True)
    return ratio


def _drawn(model: Model) -> list[dict[str, Any]]:
    """Inputs to calibrate on, where there is no data."""
    with tempfile.TemporaryDirectory() as folder:
        wide = build(model.path, "host", Path(folder) / "float", model.options(verify="none")).directory
        with load(wide) as session:
            return [feeds_of(model, session.inputs, seed) for seed in range(4)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", type=Path)
    parser.add_argument("data", type=Path)
    parser.add_argument("names", nargs="*", metavar="MODEL")
    parser.add_argument("--form", choices=FORMS, action="append")
    parser.add_argument("--target", default="host")
    options = parser.parse_args()
    sets = {of.model: of for of in labelled(options.data) if of.model in SETS}
    ratios: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for model in read_models(options.models, options.names or (*SPEED, *SETS)):
            for form in options.form or FORMS:
                try:
                    ratio = compare(model, form, options.target, sets.get(model.name), Path(folder))
                except Exception as error:
                    print(f"{model.name:28} {form:9} FAILED {str(error).splitlines()[0][:160]}", flush=True)
                    continue
                ratios.setdefault(form, []).append(ratio)
    for form, found in ratios.items():
        if not any(map(math.isnan, found)):
            mean = float(np.exp(np.mean(np.log(found))))
            print(f"{form}: geometric mean {mean:.2f}x of onnxruntime, least {min(found):.2f}x")


if __name__ == "__main__":
    main()
