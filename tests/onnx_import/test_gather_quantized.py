"""GatherBlockQuantized: the numbers of onnxruntime."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper
from quantised import MICROSOFT, by_onnxruntime, made, written

from edgec.ir import interp
from edgec.ir.errors import ModelError
from edgec.onnx_import.importer import import_model

V, D = 40, 96
F32 = TensorProto.FLOAT
KINDS = ("INT4", "UINT4", "uint8 2", "uint8 4", "uint8 8", "FLOAT8E4M3FN", "FLOAT8E5M2")


def table(kind: str, block: int, zeros: bool, dtype: Any = np.float32, **wrong: Any) -> Any:
    """x: positions [2, 3] of rows of a table [V, D]; y: the rows."""
    rng, blocks = np.random.default_rng(7), -(-D // (block or D))
    constants: dict[str, Any] = {"s": rng.uniform(0.01, 0.1, (V, blocks)).astype(dtype)}
    attrs = {"gather_axis": 0, "quantize_axis": 1, "block_size": block}
    if kind.startswith("uint8"):
        bits = attrs["bits"] = int(kind.split()[1])
        constants["w"] = rng.integers(0, 256, (V, D * bits // 8)).astype(np.uint8)
        constants["z"] = rng.integers(0, 256, (V, -(-blocks * bits // 8))).astype(np.uint8)
    else:
        low, high = {"INT4": (-8, 8), "UINT4": (0, 16)}.get(kind, (-90, 91))
        element = getattr(TensorProto, kind)
        constants["w"] = helper.make_tensor("w", element, (V, D), rng.integers(low, high, V * D))
        constants["z"] = helper.make_tensor("z", element, (V, blocks), rng.integers(low, high, V * blocks))
    operands = ["w", "x", "s", *(["z"] if zeros else [])]
    node = helper.make_node("GatherBlockQuantized", operands, ["y"], domain=MICROSOFT, name="it", **{**attrs, **wrong})
    kept = {name: v for name, v in constants.items() if name != "z" or zeros}
    out = {np.float32: F32, np.float16: TensorProto.FLOAT16}[dtype]
    return made([node], kept, {"x": (2, 3)}, {"y": out}, {"x": TensorProto.INT64})


FEEDS = {"x": np.array([[0, 39, 7], [1, 1, -2]])}


@pytest.mark.parametrize("zeros", [False, True])
@pytest.mark.parametrize("block", [16, 64, 128])
@pytest.mark.parametrize("kind", KINDS)
def test_rows(kind: str, block: int, zeros: bool, tmp_path: Path) -> None:
    path = written(table(kind, block, zeros and "FLOAT" not in kind), tmp_path)
    (right,) = by_onnxruntime(path, FEEDS)
    found = interp.run(import_model(path).entries["main"], FEEDS)["y"]
    np.testing.assert_allclose(found, right, rtol=1e-6, atol=0)
    assert np.unique(right).size > 12


@pytest.mark.parametrize("kind", ["FLOAT8E4M3FN", "FLOAT8E5M2"])
def test_a_scale_a_row(kind: str, tmp_path: Path) -> None:
    path = written(table(kind, 0, False), tmp_path)
    (right,) = by_onnxruntime(path, FEEDS)
    np.testing.assert_array_equal(interp.run(import_model(path).entries["main"], FEEDS)["y"], right)


def test_halves(tmp_path: Path) -> None:
    path = written(table("uint8 4", 32, True, np.float16), tmp_path)
    (right,) = by_onnxruntime(path, FEEDS)
    np.testing.assert_array_equal(interp.run(import_model(path).entries["main"], FEEDS)["y"], right)


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [({"block_size": 24}, "block_size=24; legal are powers of 2 from 16"),
     ({"block_size": 32}, r"scales of the shape \[40, 2\]; legal is \[40, 3\]"),
     ({"quantize_axis": 5}, "has the axis 5")],
)  # fmt: skip
def test_broken(wrong: Any, sentence: str, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=f"GatherBlockQuantized 'it' has .*{sentence.removeprefix('has ')}"):
        import_model(written(table("uint8 4", 64, True, **wrong), tmp_path))
