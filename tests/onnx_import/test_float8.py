"""8-bit floats that are known at run time: the very numbers of onnxruntime, in the interpreter and in artifacts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper
from quantised import by_onnxruntime, made, written

import edgec
from edgec.ir import interp
from edgec.ir.errors import ModelError
from edgec.onnx_import.importer import import_model
from edgec.passes.recognize_float8 import recognize_float8

F32 = TensorProto.FLOAT
KINDS = {"FLOAT8E4M3FN": "e4m3", "FLOAT8E5M2": "e5m2"}
SHAPE = (6, 500)


def zero(kind: str, number: float = 0.0) -> TensorProto:
    return helper.make_tensor("z", getattr(TensorProto, kind), (), [number])


def samples(scale: Any) -> Any:
    """Numbers of all sizes, ones halfway between two of the format, beyond the largest, infinite ones, and zeros."""
    rng = np.random.default_rng(5)
    x = rng.standard_normal(SHAPE) * np.exp2(rng.integers(-20, 18, SHAPE))
    x[:, :200] = np.round(x[:, :200] * 32) / 32
    x[:, 200:206] = [0.0, -0.0, np.inf, -np.inf, 448.0, 464.0]
    return (x * scale).astype(np.float32)


def pair(kind: str, way: str) -> tuple[Any, Any]:
    """Quantise and dequantise, and x that meets every number; scales are no powers of two, but for `power`."""
    rng = np.random.default_rng(6)
    scale = {"power": np.float32(0.25), "axis": rng.uniform(0.01, 3, 6)}.get(way, np.float32(0.0317))
    scale = np.asarray(scale, np.float32)
    constants: dict[str, Any] = {"z": zero(kind)}
    inputs: dict[str, Any] = {"x": SHAPE}
    if way == "axis":
        constants["z"] = helper.make_tensor("z", getattr(TensorProto, kind), (6,), [0.0] * 6)
    if way == "run time":
        inputs["s"] = ()
    else:
        constants["s"] = scale
    operands = ["x", "s"] if way == "no zero" else ["x", "s", "z"]
    attrs: dict[str, Any] = {"output_dtype": getattr(TensorProto, kind)} if way == "no zero" else {}
    nodes = [
        helper.make_node("QuantizeLinear", operands, ["q"], axis=0, **attrs),
        helper.make_node("DequantizeLinear", ["q", *operands[1:]], ["y"], axis=0),
    ]
    feeds = {"x": samples(scale.reshape(-1, 1)), **({"s": scale} if way == "run time" else {})}
    return made(nodes, constants, inputs, {"y": F32}, opset=21), feeds


@pytest.mark.parametrize("way", ["tensor", "power", "axis", "no zero", "run time"])
@pytest.mark.parametrize("kind", KINDS)
def test_rounded_as_onnxruntime_rounds(kind: str, way: str, tmp_path: Path) -> None:
    model, feeds = pair(kind, way)
    path = written(model, tmp_path)
    (right,) = by_onnxruntime(path, feeds, plain=True)
    graph = import_model(path).entries["main"]
    recognize_float8(graph)
    assert [op.kind for op in graph.ops if "float8" in op.kind] == ["to_float8", "from_float8"]
    np.testing.assert_array_equal(interp.run(graph, feeds)["y"], right)
    assert np.unique(right).size > 150
    for target in ("host", "arm:cortex-a76"):
        folder = tmp_path / target.replace(":", "-")
        edgec.compile(path, target, folder, verify="none")
        with edgec.load(folder) as session:
            np.testing.assert_array_equal(session.run(None, feeds)[0], right, err_msg=target)


@pytest.mark.parametrize("kind", KINDS)
def test_casts(kind: str, tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Cast", ["x"], ["q"], to=getattr(TensorProto, kind)),
        helper.make_node("Cast", ["q"], ["y"], to=F32),
    ]
    path = written(made(nodes, {}, {"x": SHAPE}, {"y": F32}), tmp_path)
    feeds = {"x": samples(1.0)}
    (right,) = by_onnxruntime(path, feeds, plain=True)
    np.testing.assert_array_equal(interp.run(import_model(path).entries["main"], feeds)["y"], right)


def test_bytes_are_moved_before_they_are_read(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "s", "z"], ["q"]),
        helper.make_node("Transpose", ["q"], ["t"], perm=[1, 0]),
        helper.make_node("Reshape", ["t", "to"], ["r"]),
        helper.make_node("DequantizeLinear", ["r", "s", "z"], ["y"]),
    ]
    constants = {"s": np.float32(0.3), "z": zero("FLOAT8E5M2"), "to": np.array([50, -1])}
    path = written(made(nodes, constants, {"x": SHAPE}, {"y": F32}), tmp_path)
    feeds = {"x": samples(0.3)}
    (right,) = by_onnxruntime(path, feeds, plain=True)
    np.testing.assert_array_equal(interp.run(import_model(path).entries["main"], feeds)["y"], right)


def test_a_zero_point_of_another_type(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "s", "z"], ["q"]),
        helper.make_node("DequantizeLinear", ["q", "s", "z5"], ["y"], name="back"),
    ]
    other = helper.make_tensor("z5", TensorProto.FLOAT8E5M2, (), [0.0])
    constants = {"s": np.float32(1), "z": zero("FLOAT8E4M3FN"), "z5": other}
    with pytest.raises(ModelError, match="DequantizeLinear 'back' has"):
        import_model(written(made(nodes, constants, {"x": (3,)}, {"y": F32}), tmp_path))
