"""Inconsistent scales and zero points: one sentence with the node's name and what would be legal."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper
from quantised import MICROSOFT, made, written
from test_build import command

from edgec.ir.errors import ModelError
from edgec.onnx_import.importer import import_model

F32, U8 = TensorProto.FLOAT, TensorProto.UINT8
X, Y = ("x", "xs", "xz"), ("ys", "yz")
GOOD: dict[str, Any] = {
    "xs": np.float32(0.02), "xz": np.uint8(120), "ys": np.float32(0.03), "yz": np.uint8(99),
    "w": np.ones((4, 3, 3, 3), np.int8), "ws": np.full(4, 0.01, np.float32), "wz": np.zeros(4, np.int8),
    "b": np.ones(4, np.int32), "m": np.ones((6, 5), np.int8), "ms": np.float32(0.01), "mz": np.int8(0),
    "c": np.ones(5, np.int32), "cs": np.float32(0.0002), "cz": np.int32(0),
}  # fmt: skip
CONV = ("QLinearConv", (*X, "w", "ws", "wz", *Y, "b"), (1, 3, 6, 6), "")
GEMM = ("QGemm", (*X, "m", "ms", "mz", "c", *Y), (3, 6), MICROSOFT)
ADD = ("QLinearAdd", (*X, *X, *Y), (3, 6), MICROSOFT)
CONCAT = ("QLinearConcat", (*Y, *X, *X), (3, 6), MICROSOFT)


def vector(*numbers: float) -> Any:
    return np.array(numbers, np.float32)


CASES = [
    (CONV, {"ws": vector(1, 2, 3)}, "has a w_scale of the shape [3]; legal are one number and [4]"),
    (CONV, {"b": np.ones(3, np.int32)}, "has a bias i32[3]; legal is i32[4]"),
    (CONV, {"ws": vector(1, 2, -3, 4)}, "has a w_scale of -3.0; legal are positive finite numbers"),
    (CONV, {"xs": np.float32(np.nan)}, "has a x_scale of nan; legal are positive finite numbers"),
    (CONV, {"ys": np.float32(0)}, "has a y_scale of 0.0; legal are positive finite numbers"),
    (CONV, {"xs": vector(1, 2, 3)}, "has a x_scale of the shape [3]; legal is one number"),
    (CONV, {"wz": np.zeros(3, np.int8)}, "has zero points of the shape [3] beside a w_scale of [4]; legal are equal"),
    (GEMM, {"c": np.ones(4, np.int32)}, "has a bias i32[4]; legal is i32[5]"),
    (GEMM, {"ms": vector(1, 2, 3)}, "has a b_scale of the shape [3]; legal are one number and [5]"),
    (GEMM, {"mz": np.uint8(3)}, "has a zero point of u8 beside the b_scale of a tensor of i8; legal is the tensor's"),
    (ADD, {"ys": np.float32(np.inf)}, "has a C_scale of inf; legal are positive finite numbers"),
    (CONCAT, {"xs": np.float32(-0.5)}, "has a input 0_scale of -0.5; legal are positive finite numbers"),
]


def model_of(node: Any, wrong: dict[str, Any]) -> Any:
    op, operands, shape, domain = node
    attrs = {"axis": 1} if op == "QLinearConcat" else {}
    nodes = [
        helper.make_node("Cast", ["f"], ["x"], to=U8),
        helper.make_node(op, list(operands), ["y"], domain=domain, name="it", **attrs),
        helper.make_node("Cast", ["y"], ["z"], to=F32),
    ]
    return made(nodes, {**GOOD, **wrong}, {"f": shape}, {"z": F32})


@pytest.mark.parametrize(("node", "wrong", "sentence"), CASES, ids=[c[2] for c in CASES])
def test_inconsistent_qlinear(node: Any, wrong: dict[str, Any], sentence: str, tmp_path: Path) -> None:
    import_model(written(model_of(node, {}), tmp_path, "good"))
    path = written(model_of(node, wrong), tmp_path)
    with pytest.raises(ModelError) as caught:
        import_model(path)
    assert str(caught.value).startswith(f"{node[0]} 'it' {sentence}")


def linear(op: str, x: Any, scale: Any, zero: Any, **attrs: Any) -> Any:
    """QuantizeLinear or DequantizeLinear of a constant or of an input, which the model goes on with."""
    given: dict[str, Any] = {"s": scale, "z": zero, **({} if isinstance(x, tuple) else {"x": x})}
    nodes = [
        helper.make_node(op, ["x", "s", "z"], ["q"], name="it", **attrs),
        helper.make_node("Cast", ["q"], ["y"], to=F32),
    ]
    inputs = {"x": x} if isinstance(x, tuple) else {}
    return made(nodes, given, inputs or {"unused": (1,)}, {"y": F32})


BYTES, WIDE, NONE = np.ones((2, 3), np.uint8), np.ones((2, 3), np.int32), np.uint8(0)
TWO, BLOCKS = np.zeros(2, np.uint8), np.ones((2, 2), np.float32)
D, Q = "DequantizeLinear", "QuantizeLinear"
LINEAR = [
    (linear(D, BYTES, vector(1, 2), TWO), "has 2 numbers as its scale for a length of 3; legal are 1 and 3"),
    (linear(D, BYTES, vector(1, 2), TWO, axis=-3), "has the axis -3, which must lie in [-2, 1]"),
    (linear(D, BYTES, np.float32(-1), NONE), "has a scale of -1.0; legal are positive finite numbers"),
    (linear(D, WIDE, np.float32(1), np.int32(5)),
     "has a zero point other than 0 beside the scale of a tensor of int32; "
     "legal is 0"),
    (linear(D, BYTES, BLOCKS, np.zeros((2, 2), np.uint8), block_size=1),
     "has a scale of the shape [2, 2] for the shape [2, 3] in blocks of 1 along axis 1; legal is [2, 3]"),
    (linear(Q, (2, 3), np.float32(np.nan), NONE), "has a scale of nan; legal are positive finite numbers"),
    (linear(Q, (2, 3), vector(1, 2, 3, 4), np.zeros(4, np.int8)), "has 4 numbers as its scale for a length of 3"),
    (linear(Q, (2, 3), vector(1, 2, 3), np.zeros(2, np.int8)),
     "has zero points of the shape [2] beside a scale of [3]"),
    (linear(Q, (2, 3), vector(1, 2, 3), NONE), "has zero points of the shape [] beside a scale of [3]; legal are"),
    (linear(D, BYTES, vector(1, 2, 3), TWO[:1]), "has zero points of the shape [1] beside a scale of [3]; legal are"),
    (linear(D, BYTES, BLOCKS, np.zeros((2, 2), np.uint8), block_size=-1),
     "has a block_size of -1; legal are 0 and positive numbers"),
    (linear(Q, (2, 3), np.float32(1), NONE, output_dtype=TensorProto.INT8),
     "has the output_dtype int8 beside a zero point of uint8; legal is the zero point's own type"),
]  # fmt: skip


@pytest.mark.parametrize(("model", "sentence"), LINEAR, ids=[c[1] for c in LINEAR])
def test_inconsistent_scales(model: Any, sentence: str, tmp_path: Path) -> None:
    with pytest.raises(ModelError) as caught:
        import_model(written(model, tmp_path))
    assert f"Linear 'it' {sentence}" in str(caught.value)


def test_a_type_that_nothing_is_quantised_to(tmp_path: Path) -> None:
    node = helper.make_node("QuantizeLinear", ["x", "s"], ["y"], name="it", output_dtype=TensorProto.INT32)
    with pytest.raises(ModelError, match="QuantizeLinear 'it' makes int32; legal are int16, int8, uint16, uint8, "):
        import_model(written(made([node], {"s": np.float32(1)}, {"x": (2,)}, {"y": TensorProto.INT32}), tmp_path))


def test_the_command_fails_with_one_line(tmp_path: Path) -> None:
    path = written(model_of(CONV, {"ws": vector(1, 2, 3)}), tmp_path)
    done = command("build", str(path), "-t", "host", "-o", "out", cwd=tmp_path)
    assert done.returncode == 3
    assert done.stderr.strip().endswith("QLinearConv 'it' has a w_scale of the shape [3]; legal are one number and [4]")
    assert not (tmp_path / "out").exists()
