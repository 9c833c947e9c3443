"""What the passes that encode weights lose, and that they lose nothing where nothing needs to be lost."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest

from edgec.ir.errors import UsageError
from edgec.ir.graph import Graph, Module, Op
from edgec.ir.text import print_module
from edgec.ir.types import Palette, Sparse, Type
from edgec.ir.verify import verify_module
from edgec.pipeline import run_pipeline

RNG = np.random.default_rng(1)
NORMAL = RNG.standard_normal((64, 256)).astype(np.float32)


def encoded(w: np.ndarray, passes: list[str]) -> tuple[Graph, Op]:
    """y = x w' after passes."""
    graph = Graph(Module())
    x = graph.add_input("x", Type("f32", (1, w.shape[1])))
    op = Op("matmul", [x, graph.constant(w)], {"trans_b": True, "act": "", "format": "", "scale": 1.0, "to": ""})
    graph.insert(0, op, [Type("f32", (1, w.shape[0]))])
    graph.outputs.append(("y", op.result))
    verify_module(graph.module)
    run_pipeline(graph.module, passes)
    return graph, op


def error(w: np.ndarray, *passes: str) -> float:
    graph, op = encoded(w, list(passes))
    assert op.arg(1).type.encodings
    return float(np.linalg.norm(graph.array(op.arg(1)) - w) / np.linalg.norm(w))


# the least distortion of a normal distribution with 16, 4 and 2 levels: Max, Quantizing for minimum distortion, 1960
@pytest.mark.parametrize(("bits", "distortion"), [(4, 0.009497), (2, 0.1175), (1, 0.3634)])
def test_palettes_are_as_good_as_they_can_be(bits: int, distortion: float) -> None:
    assert error(NORMAL, f"palettize{{bits={bits}}}") == pytest.approx(distortion**0.5, rel=0.03)
    assert error(NORMAL, f"palettize{{bits={bits},group=4}}") < distortion**0.5


@pytest.mark.parametrize(
    ("spec", "most"),
    [
        ("palettize{bits=8}", 0.01),
        ("palettize{bits=4,entries=i8}", 0.12),
        ("palettize{bits=4,vectors=2}", 0.36),  # 2 bits a weight, and better than 2 bits each
        ("quantize_weights", 0.01),
        ("quantize_weights{format=i4}", 0.1),
        ("float8_weights", 0.03),
        ("float8_weights{format=e5m2,per=tensor}", 0.06),
        ("mxfp4_weights", 0.13),
    ],
)
def test_what_is_lost(spec: str, most: float) -> None:
    assert most / 2 < error(NORMAL, spec) < most


def test_what_has_a_form_already_is_kept_exactly() -> None:
    block = np.exp2(RNG.integers(-6, 6, (64, 8, 1))).astype(np.float32)
    four = RNG.integers(-8, 8, (64, 8, 32)).astype(np.float32)
    e2m1 = RNG.integers(0, 16, (64, 8, 32)).astype(np.uint8).view(ml_dtypes.float4_e2m1fn).astype(np.float32)
    levels = RNG.standard_normal((4, 16)).astype(np.float32)
    assert error((four * block * np.float32(0.37)).reshape(64, 256), "quantize_weights{format=i4}") == 0
    assert error((e2m1 * block).reshape(64, 256), "mxfp4_weights") == 0
    assert error(levels[np.arange(64)[:, None] // 16, RNG.integers(0, 16, (64, 256))], "palettize{group=16}") == 0
    assert error(np.where(RNG.random((64, 256)) < 0.5, 0, NORMAL).astype(np.float32), "sparsify") == 0


@pytest.mark.parametrize("format", ["e4m3", "e5m2"])
@pytest.mark.parametrize("per", ["channel", "tensor"])
def test_scales_of_8_bit_floats_are_found(format: str, per: str) -> None:
    """Of any float32 scale and any exponents, none of the largest number among them."""
    dtype = {"e4m3": ml_dtypes.float8_e4m3fn, "e5m2": ml_dtypes.float8_e5m2}[format]
    codes = RNG.integers(0, 0x68 if format == "e4m3" else 0x6C, (64, 256)).astype(np.uint8) | (
        RNG.integers(0, 2, (64, 256)).astype(np.uint8) << 7
    )
    scale = RNG.uniform(1e-4, 1e-2, (64, 1) if per == "channel" else (1, 1)).astype(np.float32)
    numbers = codes.view(dtype).astype(np.float32) * scale
    assert error(numbers, f"float8_weights{{format={format},per={per}}}") == 0
    assert 0 < error(numbers + np.float32(1e-4), f"float8_weights{{format={format},per={per}}}") < 0.1


def test_a_share_is_pruned_and_the_rest_stays() -> None:
    graph, op = encoded(NORMAL, ["sparsify{share=0.75}", "palettize{bits=4}"])
    (sparse, palette) = op.arg(1).type.encodings
    assert isinstance(sparse, Sparse)
    assert isinstance(palette, Palette)
    mask = graph.module.constants[sparse.mask]
    assert np.count_nonzero(mask) == NORMAL.size // 4
    assert np.abs(NORMAL[mask]).min() >= np.abs(NORMAL[~mask]).max()
    found = graph.array(op.arg(1))
    assert not found[~mask].any()
    assert np.linalg.norm(found[mask] - NORMAL[mask]) < 0.06 * np.linalg.norm(NORMAL[mask])


def test_same_input_same_text() -> None:
    for spec in ("palettize", "palettize{bits=4,vectors=4}"):
        assert print_module(encoded(NORMAL, [spec])[0].module) == print_module(encoded(NORMAL, [spec])[0].module)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("palettize{bits=5}", "5 bits; legal: 1, 2, 3, 4, 6, 8"),
        ("palettize{entries=f16}", "entries f32 or i8"),
        ("palettize{vectors=2,seed=-1}", "seed=-1; legal are axes from -1, seeds from 0"),
        ("palettize{axis=-2}", "axis=-2, along=-1, seed=0; legal"),
        ("sparsify{share=1.5}", "a share of 1.5"),
        ("quantize_weights{format=i2}", "legal are i8, i4"),
        ("float8_weights{format=e3m4}", "legal are e4m3, e5m2"),
        ("mxfp4_weights{group=0}", "groups of 0"),
        ("mxfp4_weights{size=4}", "does not take these options"),
    ],
)
def test_bad_options(spec: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        encoded(NORMAL, [spec])
