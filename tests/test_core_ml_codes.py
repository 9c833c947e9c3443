"""Weights that have few bits in the model have them in the package, too, without being told."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from coreml_large import write_model

from edgec.driver import build
from edgec.options import BuildOptions


def test_matmul_nbits(tmp_path: Path) -> None:
    """4.5 bits a weight from iOS 18 on, where blocks are a form, and the numbers of the float model."""
    model = write_model("int4 blocks", 2, 128, tmp_path)
    sizes = {}
    for name in ("ios17", "ios18"):
        build(model, f"coreml:{name}", tmp_path / name, BuildOptions())
        receipt = json.loads((tmp_path / name / "receipt.json").read_text())
        sizes[name] = receipt["package"]["weights_bytes"] * 8 / (2 * 128**2)
        assert receipt.get("encoded", {}).get("weights", {}) == ({"quant": 2} if name == "ios18" else {})
        assert receipt["verification"]["outputs"]["y"]["relative_to_max"] <= 1e-5
        assert receipt["verification"]["reference"].startswith("onnxruntime")
    assert sizes["ios17"] > 32
    assert np.isclose(sizes["ios18"], 5.0, atol=0.2)  # scales are float32: 4 bits and 32 for 32
