"""What is said of INT8 holds on samples that nobody has seen.

Choices and bounds are judged by those that neither ranges nor weights were found on.
"""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import helper
from quantised import made, written

import edgec
from edgec.paired import signal_to_noise

SIZES = (40, 64, 64, 10)
N = 128  # of vectors: each value of a network so small has its largest element in one of few


def network(folder: Path, rng: np.random.Generator) -> Path:
    nodes, constants, x = [], {}, "x"
    for i, (k, n) in enumerate(pairwise(SIZES)):
        constants[f"w{i}"] = (rng.standard_normal((k, n)) * np.sqrt(2 / k)).astype(np.float32)
        constants[f"b{i}"] = (rng.standard_normal(n) * 0.1).astype(np.float32)
        nodes.append(helper.make_node("Gemm", [x, f"w{i}", f"b{i}"], [f"h{i}" if n > SIZES[-1] else "y"]))
        if n > SIZES[-1]:
            nodes.append(helper.make_node("Relu", [f"h{i}"], [f"r{i}"]))
        x = f"r{i}"
    return written(made(nodes, constants, {"x": (1, SIZES[0])}, {"y": 1}), folder)


@pytest.mark.parametrize("bound", [None, "2%"])
def test_what_is_said_holds_on_fresh_samples(bound: str | None, tmp_path: Path) -> None:
    """Ranges of all samples, judged by half of them, so promised 1.4 % and 39 dB, and kept 3.7 % and 29 dB."""
    rng = np.random.default_rng(7)
    model = network(tmp_path, np.random.default_rng(1))
    np.savez(tmp_path / "calib.npz", x=rng.standard_normal((N, 1, SIZES[0])).astype(np.float32))
    calib = str(tmp_path / "calib.npz")
    given: dict[str, Any] = {"precision": "int8", "calib": calib, "max_error": bound, "verify": "none"}
    facts = edgec.compile(model, "host", tmp_path / "narrow", **given)["quantization"]
    edgec.compile(model, "host", tmp_path / "wide", verify="none")
    fresh = rng.standard_normal((2000, 1, SIZES[0])).astype(np.float32)
    found = {}
    for name in ("narrow", "wide"):
        with edgec.load(tmp_path / name) as session:
            found[name] = np.concatenate([session.run(None, {"x": x})[0] for x in fresh])
    kept = signal_to_noise(found["narrow"], found["wide"])
    assert facts["trials"]["samples"] == N // 2
    assert facts["calibration"]["refitted"] == (bound is None)
    assert facts["calibration"]["measured"] == (N if bound is None else N // 2), "samples that ranges are of"
    if bound is None:
        assert kept > max(trial["signal_to_noise_db"] for trial in facts["trials"]["tried"]) - 3
    else:
        assert facts["search"]["samples"] == N // 2
        assert 10 ** (-kept / 20) < 0.02 * 1.25, "of one draw of 64 samples, the rest may be a little worse"
