"""Weights that have few bits in the model have them in the package, too, without being told."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from coreml_large import write_model
from quantised import written
from test_own_bytes import K, N, dequantised

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


# the least iOS whose packages have such codes, and what they take in bits, scales and all
FLOATS = {"tensor": ("ios16", 8.0), "axis": ("ios16", 8.0 + 32 / K), "blocks of 64": ("ios26", 8.0 + 32 / 32)}


@pytest.mark.parametrize("way", FLOATS)
@pytest.mark.parametrize("kind", ["FLOAT8E4M3FN", "FLOAT8E5M2"])
def test_8_bit_floats(kind: str, way: str, tmp_path: Path) -> None:
    """A table of 256 numbers, with scales behind the product below iOS 26; blocks are floats there, and it is said."""
    model = written(dequantised(kind, way), tmp_path)
    for name in ("ios16", "ios18", "ios26"):
        build(model, f"coreml:{name}", tmp_path / name, BuildOptions())
        receipt = json.loads((tmp_path / name / "receipt.json").read_text())
        least, bits = FLOATS[way]
        coded = name >= least
        size = receipt["package"]["weights_bytes"] * 8 / (K * N)
        assert bits < size < bits + 1.3 if coded else size > 32  # a table is 1,024 bytes
        assert receipt["encoded"]["weights"] == ({"float8": 1} if coded else {})
        assert ("in blocks are a form from iOS 26 on" in receipt["encoded"]["passes"]) == (name != "ios26")
        assert receipt["verification"]["outputs"]["y"]["relative_to_max"] <= 1e-5
        assert receipt["verification"]["reference"].startswith("onnxruntime")


def test_4_bit_floats(tmp_path: Path) -> None:
    """Scales over a table of 16 numbers, from iOS 26 on."""
    model = written(dequantised("FLOAT4E2M1", "blocks of 64"), tmp_path)
    build(model, "coreml:ios26", tmp_path / "out", BuildOptions())
    receipt = json.loads((tmp_path / "out" / "receipt.json").read_text())
    assert receipt["encoded"]["weights"] == {"scale palette": 1}
    assert 4 + 32 / 32 < receipt["package"]["weights_bytes"] * 8 / (K * N) < 4 + 32 / 32 + 0.4
    assert receipt["verification"]["outputs"]["y"]["relative_to_max"] <= 1e-5


def test_int8_of_weights_of_few_bits(tmp_path: Path) -> None:
    """What is asked for, as for CPUs: the model's codes are rounded to int8 weights."""
    model = write_model("int4 blocks", 2, 128, tmp_path)
    receipt = build(model, "coreml", tmp_path / "out", BuildOptions(precision="int8")).receipt
    assert receipt["quantization"]["macs_share"] == 1.0
    assert "encoded" not in receipt
