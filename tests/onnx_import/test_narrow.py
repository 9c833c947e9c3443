"""Constants of 8-bit floats and of 4 and 2 bits, and MatMulNBits: their numbers, against onnx and onnxruntime."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper
from onnx.reference import ReferenceEvaluator
from quantised import MICROSOFT, by_onnxruntime, made, written

import edgec
from edgec.ir import interp
from edgec.ir.errors import ModelError, UnsupportedError
from edgec.onnx_import.importer import import_model

RNG = np.random.default_rng(8)
F32 = TensorProto.FLOAT
TYPES = (
    "INT4", "UINT4", "INT2", "UINT2", "FLOAT8E4M3FN", "FLOAT8E4M3FNUZ", "FLOAT8E5M2", "FLOAT8E5M2FNUZ", "FLOAT4E2M1",
)  # fmt: skip


def tensor(name: str, kind: str, numbers: Any) -> TensorProto:
    return helper.make_tensor(name, getattr(TensorProto, kind), np.shape(numbers), np.ravel(numbers))


def numbers_of(kind: str, *shape: int) -> Any:
    low, high = {"INT4": (-8, 7), "UINT4": (0, 15), "INT2": (-2, 1), "UINT2": (0, 3)}.get(kind, (-6, 6))
    return RNG.integers(low, high + 1, shape)


@pytest.mark.parametrize("way", ["tensor", "axis", "blocks", "no_zero"])
@pytest.mark.parametrize("kind", TYPES)
def test_dequantised_constants(kind: str, way: str, tmp_path: Path) -> None:
    shape = {"tensor": (), "axis": (6,), "blocks": (2, 6), "no_zero": ()}[way]
    axis, block = {"blocks": (0, 3)}.get(way, (1, 0))
    scale = RNG.uniform(0.1, 2, shape).astype(np.float32)
    zero = numbers_of(kind, *shape) if not kind.startswith("FLOAT") else np.zeros(shape)
    constants = {"w": tensor("w", kind, numbers_of(kind, 5, 6)), "s": scale, "z": tensor("z", kind, zero)}
    operands = ["w", "s"] if way == "no_zero" else ["w", "s", "z"]
    nodes = [
        helper.make_node("DequantizeLinear", operands, ["d"], axis=axis, block_size=block),
        helper.make_node("Add", ["x", "d"], ["y"]),
    ]
    path = written(made(nodes, constants, {"x": (5, 6)}, {"y": F32}, opset=25), tmp_path)
    x = np.zeros((5, 6), np.float32)
    (right,) = ReferenceEvaluator(str(path)).run(None, {"x": x})
    graph = import_model(path).entries["main"]
    assert [op.kind for op in graph.ops] == ["add"]
    np.testing.assert_array_equal(interp.run(graph, {"x": x})["y"], right)
    assert np.unique(right).size > 3


@pytest.mark.parametrize("kind", ["INT4", "UINT4", "FLOAT8E4M3FN", "FLOAT8E5M2"])
def test_weights_that_are_quantised_in_the_model(kind: str, tmp_path: Path) -> None:
    constants = {"w": RNG.standard_normal((4, 6)).astype(np.float32), "s": np.float32(0.25), "z": tensor("z", kind, 0)}
    nodes = [
        helper.make_node("QuantizeLinear", ["w", "s", "z"], ["q"]),
        helper.make_node("DequantizeLinear", ["q", "s", "z"], ["d"]),
        helper.make_node("Add", ["x", "d"], ["y"]),
    ]
    path = written(made(nodes, constants, {"x": (4, 6)}, {"y": F32}), tmp_path)
    x = np.zeros((4, 6), np.float32)
    (right,) = ReferenceEvaluator(str(path)).run(None, {"x": x})
    np.testing.assert_array_equal(interp.run(import_model(path).entries["main"], {"x": x})["y"], right)


def test_half_of_a_byte_beside_the_model(tmp_path: Path) -> None:
    stored = tensor("w", "INT4", numbers_of("INT4", 3, 5))
    data = bytes(number & 0xFF for number in stored.int32_data)
    (tmp_path / "weights.bin").write_bytes(data)
    outside = TensorProto(name="w", data_type=TensorProto.INT4, dims=(3, 5), data_location=TensorProto.EXTERNAL)
    for key, value in (("location", "weights.bin"), ("length", str(len(data)))):
        outside.external_data.add(key=key, value=value)
    nodes = [helper.make_node("DequantizeLinear", ["w", "s"], ["d"]), helper.make_node("Add", ["x", "d"], ["y"])]
    found = []
    for weights in (stored, outside):
        path = written(made(nodes, {"w": weights, "s": np.float32(0.5)}, {"x": (3, 5)}, {"y": F32}), tmp_path)
        found.append(interp.run(import_model(path).entries["main"], {"x": np.zeros((3, 5), np.float32)})["y"])
    np.testing.assert_array_equal(found[0], found[1])
    assert np.any(found[0])


NBITS = [
    pytest.param(bits, block, zero, id=f"{bits}-{block}-{zero}")
    for bits in (2, 4, 8) for block in (16, 32, 64) for zero in ("none", "packed", "float")
    if (bits, zero) != (8, "float")  # onnxruntime has none
]  # fmt: skip


def nbits(bits: int, block: int, zero: str, **wrong: Any) -> Any:
    n, k = 5, 40
    blocks = -(-k // block)
    row = -(-blocks * bits // 8)
    zeros = {
        "none": {},
        "packed": {"z": RNG.integers(0, 256, n * row).astype(np.uint8)},
        "float": {"z": RNG.uniform(3, 9, n * blocks).astype(np.float32)},
    }[zero]
    constants = {
        "w": RNG.integers(0, 256, (n, blocks, block * bits // 8)).astype(np.uint8),
        "s": RNG.uniform(0.01, 0.1, n * blocks).astype(np.float32), **zeros, **wrong.pop("constants", {}),
    }  # fmt: skip
    attrs = {"N": n, "K": k, "bits": bits, "block_size": block, **wrong}
    operands = ["x", "w", "s", *(n if n in constants else "" for n in "zgb")]
    node = helper.make_node("MatMulNBits", operands, ["y"], domain=MICROSOFT, name="it", **attrs)
    return made([node], constants, {"x": (3, k)}, {"y": F32})


@pytest.mark.parametrize(("bits", "block", "zero"), NBITS)
def test_matmul_by_few_bits(bits: int, block: int, zero: str, tmp_path: Path) -> None:
    path = written(nbits(bits, block, zero), tmp_path)
    x = RNG.standard_normal((3, 40)).astype(np.float32)
    (right,) = by_onnxruntime(path, {"x": x})
    found = interp.run(import_model(path).entries["main"], {"x": x})["y"]
    np.testing.assert_allclose(found, right, rtol=1e-4, atol=1e-4 * np.abs(right).max())


def test_matmul_by_few_bits_is_built(tmp_path: Path) -> None:
    receipt = edgec.compile(written(nbits(4, 32, "packed"), tmp_path), "host", tmp_path / "out")
    assert receipt["verification"]["pass"]
    assert receipt["verification"]["reference"].startswith("onnxruntime")


BROKEN = [
    ({"constants": {"s": np.ones(9, np.float32)}}, "has scales of the shape [9]; legal are [5, 2] and [10]"),
    ({"constants": {"s": np.ones((2, 5), np.float32)}}, "has scales of the shape [2, 5]; legal are [5, 2] and [10]"),
    ({"constants": {"w": np.zeros((2, 5, 16), np.uint8)}}, "has weights uint8[2, 5, 16]; legal is uint8[5, 2, 16]"),
    ({"constants": {"z": np.ones((2, 5), np.float32)}}, "has zero points float32[2, 5]; legal are uint8[5, 1] and"),
    ({"constants": {"s": np.full(10, np.nan, np.float32)}}, "has a scale that is no finite number; legal are finite"),
    ({"constants": {"w": np.zeros((5, 2, 8), np.uint8)}}, "has weights uint8[5, 2, 8]; legal is uint8[5, 2, 16]"),
    ({"constants": {"z": np.zeros(4, np.uint8)}}, "has zero points uint8[4]; legal are uint8[5, 1] and finite floats"),
    ({"block_size": 24}, "has N=5, K=40 and block_size=24; legal are positive N and K, and powers of 2 from 16"),
    ({"constants": {"g": np.full(40, 2, np.int32)}}, "has g_idx int32[40]; legal are int32[40] from 0 to 1"),
    ({"K": 41}, "multiplies [3, 40] by weights of K=41; legal is a last axis of 41"),
]


@pytest.mark.parametrize(("wrong", "sentence"), BROKEN, ids=[b[1] for b in BROKEN])
def test_broken_matmul_by_few_bits(wrong: Any, sentence: str, tmp_path: Path) -> None:
    path = written(nbits(4, 32, "none", **wrong), tmp_path)
    with pytest.raises(ModelError) as caught:
        import_model(path)
    assert f"MatMulNBits 'it' {sentence}" in str(caught.value)


@pytest.mark.parametrize("order", ["rising", "mixed"])
def test_rows_with_blocks_of_their_own_and_a_bias(order: str, tmp_path: Path) -> None:
    whose = (np.arange(40) // 32).astype(np.int32)
    whose = whose if order == "rising" else RNG.permutation(whose)
    given = {"g": whose, "b": RNG.standard_normal(5).astype(np.float32)}
    path = written(nbits(4, 32, "float", constants=given), tmp_path)
    x = RNG.standard_normal((3, 40)).astype(np.float32)
    (right,) = by_onnxruntime(path, {"x": x})
    found = interp.run(import_model(path).entries["main"], {"x": x})["y"]
    np.testing.assert_allclose(found, right, rtol=1e-4, atol=1e-4 * np.abs(right).max())


@pytest.mark.parametrize(("bits", "zero"), [(2, "none"), (4, "packed")])
def test_what_onnxruntime_misreads_beside_blocks_of_rows_is_refused(bits: int, zero: str, tmp_path: Path) -> None:
    path = written(nbits(bits, 32, zero, constants={"g": np.zeros(40, np.int32)}), tmp_path)
    with pytest.raises(UnsupportedError, match="MatMulNBits 'it' has a g_idx; beside one, weights of 4 bits without"):
        import_model(path)


def test_a_bias_is_added_before_rounding_to_halves(tmp_path: Path) -> None:
    """The same halves as onnxruntime's, nearly all of them."""
    given = {"b": RNG.standard_normal(5).astype(np.float16), "s": RNG.uniform(0.01, 0.1, 10).astype(np.float16)}
    model = nbits(4, 32, "none", constants=given)
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.elem_type = TensorProto.FLOAT16
    path = written(model, tmp_path)
    x = RNG.standard_normal((3, 40)).astype(np.float16)
    (right,) = by_onnxruntime(path, {"x": x})
    found = interp.run(import_model(path).entries["main"], {"x": x})["y"]
    assert (found == right).mean() > 0.9


def test_an_accuracy_below_floats_is_not_the_reference(tmp_path: Path) -> None:
    """onnxruntime may round x to bytes there; what is built computes in floats, and is judged so."""
    path = written(nbits(4, 32, "packed", accuracy_level=4), tmp_path)
    receipt = edgec.compile(path, "host", tmp_path / "out")
    assert receipt["verification"]["outputs"]["y"]["relative_to_max"] < 1e-5
    assert receipt["verification"]["reference"].startswith("onnxruntime")


@pytest.mark.parametrize("kind", ["INT4", "FLOAT8E4M3FN"])
def test_constants_are_moved_before_they_are_dequantised(kind: str, tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Transpose", ["w"], ["t"]),
        helper.make_node("Reshape", ["t", "to"], ["r"]),
        helper.make_node("DequantizeLinear", ["r", "s"], ["d"], axis=1),
        helper.make_node("Add", ["x", "d"], ["y"]),
    ]
    constants = {"w": tensor("w", kind, numbers_of(kind, 3, 8)), "to": np.array([4, 6]),
                 "s": RNG.uniform(0.1, 2, 6).astype(np.float32)}  # fmt: skip
    path = written(made(nodes, constants, {"x": (4, 6)}, {"y": F32}), tmp_path)
    x = np.zeros((4, 6), np.float32)
    (right,) = ReferenceEvaluator(str(path)).run(None, {"x": x})
    np.testing.assert_array_equal(interp.run(import_model(path).entries["main"], {"x": x})["y"], right)


def test_negative_scales(tmp_path: Path) -> None:
    """As onnxruntime's tools write them for int4 with an uneven range."""
    scale = (RNG.uniform(0.1, 2, (2, 6)) * RNG.choice([-1, 1], (2, 6))).astype(np.float32)
    constants = {"w": tensor("w", "INT4", numbers_of("INT4", 6, 6)), "s": scale}
    nodes = [
        helper.make_node("DequantizeLinear", ["w", "s"], ["d"], axis=0, block_size=3, name="it"),
        helper.make_node("Add", ["x", "d"], ["y"]),
    ]
    path = written(made(nodes, constants, {"x": (6, 6)}, {"y": F32}), tmp_path)
    x = np.zeros((6, 6), np.float32)
    (right,) = by_onnxruntime(path, {"x": x})
    np.testing.assert_array_equal(interp.run(import_model(path).entries["main"], {"x": x})["y"], right)
    constants["s"] = np.where(scale == scale[0, 0], np.float32(np.nan), scale)
    path = written(made(nodes, constants, {"x": (6, 6)}, {"y": F32}), tmp_path)
    with pytest.raises(ModelError, match="'it' has a scale that is no finite number; legal are finite numbers"):
        import_model(path)
