"""Embeddings of few bits: codes in the artifact, rows as onnxruntime's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper
from quantised import MICROSOFT, by_onnxruntime, made, written
from test_own_codes import TARGETS

import edgec

V, D = 300, 96
FEEDS = {"x": np.array([[0, 299, 7], [1, 1, 250]])}


def gathered(kind: str, block: int, zeros: bool) -> Any:
    """GatherBlockQuantized of uint8 with 4 or 8 bits."""
    rng, bits, blocks = np.random.default_rng(31), int(kind), -(-D // block)
    constants = {
        "w": rng.integers(0, 256, (V, D * bits // 8)).astype(np.uint8),
        "s": rng.uniform(0.01, 0.1, (V, blocks)).astype(np.float32),
        "z": rng.integers(0, 256, (V, -(-blocks * bits // 8))).astype(np.uint8),
    }
    operands = ["w", "x", "s", *(["z"] if zeros else [])]
    attrs = {"gather_axis": 0, "quantize_axis": 1, "block_size": block, "bits": bits}
    node = helper.make_node("GatherBlockQuantized", operands, ["y"], domain=MICROSOFT, **attrs)
    kept = {name: v for name, v in constants.items() if name != "z" or zeros}
    return made([node], kept, {"x": (2, 3)}, {"y": TensorProto.FLOAT}, {"x": TensorProto.INT64})


def dequantised(kind: str, block: int) -> Any:
    """Gather from what DequantizeLinear makes of a table; a scale a row where there are no blocks."""
    rng = np.random.default_rng(32)
    low, high = {"INT4": (-8, 8), "INT8": (-128, 128)}.get(kind, (-90, 91))
    constants = {
        "w": helper.make_tensor("w", getattr(TensorProto, kind), (V, D), rng.integers(low, high, V * D)),
        "s": rng.uniform(0.01, 0.1, (V, D // block) if block else (V,)).astype(np.float32),
    }
    attrs = {"axis": 1, "block_size": block} if block else {"axis": 0}
    nodes = [
        helper.make_node("DequantizeLinear", ["w", "s"], ["t"], **attrs),
        helper.make_node("Gather", ["t", "x"], ["y"]),
    ]
    return made(nodes, constants, {"x": (2, 3)}, {"y": TensorProto.FLOAT}, {"x": TensorProto.INT64})


# bytes of the artifact for a number of the table: its bits, and scales (and zero points, which are whole floats here)
CASES = {
    "4 bits": (lambda: gathered("4", 32, False), 0.5 + 4 / 32),
    "4 bits, zero points": (lambda: gathered("4", 32, True), 0.5 + 8 / 32),
    "4 bits in 16": (lambda: gathered("4", 16, False), 0.5 + 4 / 16),
    "8 bits, zero points": (lambda: gathered("8", 32, True), 1 + 8 / 32),
    "int4": (lambda: dequantised("INT4", 32), 0.5 + 4 / 32),
    "int8 a row": (lambda: dequantised("INT8", 0), 1 + 4 / D),
    "e4m3 a row": (lambda: dequantised("FLOAT8E4M3FN", 0), 1 + 4 / D),
    "e5m2": (lambda: dequantised("FLOAT8E5M2", 48), 1 + 4 / 16),
}


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("name", CASES)
def test_rows(name: str, target: str, tmp_path: Path) -> None:
    model, each = CASES[name]
    path = written(model(), tmp_path)
    receipt = edgec.compile(path, target, tmp_path / "out", ranges={"x": (0, V - 1)})
    assert receipt["verification"]["pass"]
    assert receipt["verification"]["reference"].startswith("onnxruntime")
    assert len(receipt["quantization"]["tables"]) == 1
    kinds = receipt["memory"]["weights_by_kind"]
    assert abs(sum(size for kind, size in kinds.items() if kind != "i64") - V * D * each) <= 600  # 15, 4, of rows
    (right,) = by_onnxruntime(path, FEEDS, plain=True)
    with edgec.load(tmp_path / "out") as session:
        np.testing.assert_array_equal(session.run(None, FEEDS)[0], right)


def test_a_table_that_was_changed_is_floats(tmp_path: Path) -> None:
    model = dequantised("INT8", 48)
    model.graph.initializer.append(helper.make_tensor("f", TensorProto.FLOAT, (D,), np.linspace(0.1, 3, D)))
    model.graph.node.insert(1, helper.make_node("Mul", ["t", "f"], ["u"]))
    model.graph.node[2].input[0] = "u"
    receipt = edgec.compile(written(model, tmp_path), "host", tmp_path / "out", ranges={"x": (0, V - 1)})
    assert receipt["verification"]["pass"]
    assert receipt["quantization"]["tables"] == []
    assert receipt["memory"]["weights_bytes"] >= 4 * V * D
