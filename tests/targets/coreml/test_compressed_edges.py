"""Constants that meet the edges of what MIL's compressed forms can say: what comes back of 0 + constant."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from coreml_forms import graph_of, saved_weights, write_package

from edgec.ir import interp
from edgec.ir.build import Builder
from edgec.ir.errors import UnsupportedError
from edgec.ir.graph import Graph, Module
from edgec.ir.types import Encoding, Float8, Palette, Quant, Scale, Sparse, Type
from edgec.ir.verify import verify_module
from edgec.pipeline import run_pipeline
from edgec.runtime.coreml.evaluate import Evaluator
from edgec.runtime.coreml.package import read_package
from edgec.targets.coreml.compressed import HALVES, WIDE
from edgec.targets.coreml.deployment import choose
from edgec.targets.coreml.package import package_files
from edgec.targets.coreml.program import Emitted, emit
from edgec.targets.coreml.reload import check_reload

RNG = np.random.default_rng(5)
GRAPH = Graph(Module())  # holds the constants that cases are made of
key = GRAPH.module.intern


def halves(*dims: int) -> str:
    return key(RNG.uniform(0.25, 2, dims).astype(np.float16).astype(np.float32))


def integers(low: int, high: int, *dims: int, dtype: Any = np.int8) -> np.ndarray:
    return RNG.integers(low, high, dims).astype(dtype)


def zeros(*dims: int) -> str:
    return key(np.zeros(dims, np.int8))


def model(stored: np.ndarray, dims: tuple[int, ...], *encodings: Encoding) -> tuple[Graph, np.ndarray]:
    """x + constant, and the constant."""
    graph = Graph(Module(dict(GRAPH.module.constants)))
    value = graph.encoded(stored, Type("f32", dims, encodings), "w")
    y = Builder(graph, fold=False).op("add", graph.add_input("x", Type("f32", dims)), value)
    graph.outputs.append(("y", y))
    verify_module(graph.module)
    return graph, graph.array(value)


def back(graph: Graph, emitted: Emitted, folder: Path) -> np.ndarray:
    files = package_files(emitted)
    check_reload(files)
    package = read_package(write_package(files, folder / "x.mlpackage"))
    zero = np.zeros(emitted.inputs[0].shape, np.float32)  # a scalar is [1] there
    return np.asarray(Evaluator(package).run({"x": zero})["y"]).reshape(graph.inputs[0].type.dims)


MASK = RNG.random((24, 50)) < 0.3
NOTHING = key(np.zeros((4, 6), bool))
CASES: dict[str, tuple[np.ndarray, tuple[int, ...], tuple[Encoding, ...]]] = {
    # 24 rows in groups of 16: tables of 8, two of them alike
    "tables, a shorter last group": (integers(0, 16, 24, 50, dtype=np.uint8), (24, 50),
                                     (Palette(4, halves(2, 16, 1), 0, 16),)),
    "scales, a shorter last group": (integers(-100, 100, 24, 50), (24, 50),
                                     (Quant("i8", halves(24, 3), zeros(24, 3), 1, 20),)),
    "one group that is longer than the axis": (integers(-8, 8, 24, 50), (24, 50),
                                               (Quant("i4", halves(24, 1), zeros(24, 1), 1, 64),)),
    "zero points of four bits": (integers(-8, 8, 24, 50), (24, 50),
                                 (Quant("i4", halves(24, 5), key(integers(-8, 8, 24, 5)), 1, 10),)),
    "zero points beyond four bits": (integers(-8, 8, 24, 50), (24, 50),
                                     (Quant("i4", halves(24, 5), key(integers(-99, 99, 24, 5)), 1, 10),)),
    "unsigned, zero points": (integers(0, 256, 24, 50, dtype=np.uint8), (24, 50),
                              (Quant("u8", halves(50), key(integers(0, 256, 50, dtype=np.uint8)), 1),)),
    "vectors in groups along the axis that they fill": (integers(0, 4, 24, 25, dtype=np.uint8), (24, 50),
                                                        (Palette(2, halves(3, 4, 2), 1, 20, 2, 1),)),
    "sparse in tables of groups": (np.where(MASK, integers(0, 16, 24, 50), 0).astype(np.uint8), (24, 50),
                                   (Sparse(key(MASK)), Palette(4, halves(2, 16, 1), 0, 16))),
    "sparse, zero points": (np.where(MASK, integers(-99, 99, 24, 50), 0).astype(np.int8), (24, 50),
                            (Sparse(key(MASK)), Quant("i8", halves(24), key(integers(-9, 9, 24)), 0))),
    "nothing but zeros": (np.zeros((4, 6), np.int8), (4, 6),
                          (Sparse(NOTHING), Quant("i8", halves(4), key(integers(1, 9, 4)), 0))),
    "a few numbers": (integers(0, 2, 3, dtype=np.uint8), (3,), (Palette(1, halves(1, 2, 1)),)),
    "a few of four bits": (integers(-8, 8, 5), (5,), (Quant("i4", halves(), zeros()),)),
    "one number": (np.array(5, np.int8), (), (Quant("i8", halves(), zeros()),)),
    "32 bits are floats": (integers(-999, 999, 7, dtype=np.int32), (7,),
                           (Quant("i32", halves(), key(np.zeros((), np.int32))),)),
    "a table of bytes": (integers(0, 16, 24, 50, dtype=np.uint8), (24, 50),
                         (Palette(4, key(integers(-128, 127, 1, 16, 1))),)),
}  # fmt: skip


@pytest.mark.parametrize("half", [False, True], ids=["fp32", "fp16"])
@pytest.mark.parametrize("name", CASES)
def test_what_comes_back(name: str, half: bool, tmp_path: Path) -> None:
    stored, dims, encodings = CASES[name]
    graph, ours = model(stored, dims, *encodings)
    found = back(graph, emit(graph.module, choose("ios18"), half), tmp_path)
    np.testing.assert_array_equal(found, ours.astype(np.float16) if half else ours)


@pytest.mark.parametrize("name", ["ios16", "ios17", "ios18"])
def test_scales_that_halves_do_not_have(name: str, tmp_path: Path) -> None:
    """Each weight is rounded once: 0.3 of float16 times the integers would be others."""
    scale = key(np.full(32, 0.3, np.float32))
    graph, ours = model(integers(-127, 128, 32, 40), (32, 40), Quant("i8", scale, zeros(32), 0))
    emitted = emit(graph.module, choose(name), True)
    assert emitted.notes == (HALVES if name == "ios16" else WIDE,)
    np.testing.assert_array_equal(back(graph, emitted, tmp_path), ours.astype(np.float16))
    assert not np.array_equal(ours.astype(np.float16), graph.array(graph.ops[0].arg(1)) / 0.3 * np.float16(0.3))


LARGE = key(np.full((1, 16, 1), 1e5, np.float32))
NEVER = key(np.array([[[1.0], [1e5]]], np.float32))


@pytest.mark.parametrize(
    ("name", "half", "dims", "encodings", "message"),
    [
        ("ios15", False, (8, 40), (Palette(4, halves(1, 16, 1)),), "compressed weights .* from iOS 16 .* iOS 15"),
        ("ios17", False, (8, 40), (Palette(4, halves(2, 16, 1), 0, 4),), "table for each group .* from iOS 18"),
        ("ios16", False, (8, 40), (Palette(3, halves(1, 8, 1)),), "palette of 3 bits .* from iOS 18"),
        ("ios17", False, (8, 80), (Palette(4, halves(1, 16, 2), None, 0, 2, 1),), "vectors .* from iOS 18"),
        ("ios17", False, (8, 40), (Quant("i4", halves(8), zeros(8), 0),), "integers of 4 bits .* from iOS 18"),
        ("ios17", False, (8, 40), (Quant("i8", halves(8, 4), zeros(8, 4), 1, 10),), "in blocks .* from iOS 18"),
        ("ios18", False, (8, 40), (Scale(halves(8, 4), 1, 10), Palette(4, halves(1, 16, 1))),
         "scales over a table .* from iOS 26 on, and this is for iOS 18, macOS 15: build with --target coreml:ios26"),
        ("ios18", True, (8, 40), (Palette(4, LARGE),), "100000 among its constants, and halves end at 65504"),
        ("ios18", True, (8, 40), (Quant("i8", key(np.float32(2e4)[()] + np.zeros((), np.float32)), zeros()),),
         r"among its constants, and halves end at 65504"),
        ("ios18", False, (8, 40), (Float8("e4m3", halves()),), "e4m3 that are infinite or no numbers"),
    ],
)  # fmt: skip
def test_refused(name: str, half: bool, dims: tuple[int, ...], encodings: Any, message: str) -> None:
    stored = np.full((8, 40), 127 if isinstance(encodings[0], Float8) else 7, np.uint8)
    if isinstance(encodings[-1], Quant):
        stored = stored.astype(np.int8)
    graph, _ = model(stored, dims, *encodings)
    with pytest.raises(UnsupportedError, match=message):
        emit(graph.module, choose(name), half)


def test_a_large_table_entry_that_nothing_points_at_is_refused_too() -> None:
    """The table itself would not be ours."""
    graph, _ = model(np.zeros((8, 40), np.uint8), (8, 40), Palette(1, NEVER))
    with pytest.raises(UnsupportedError, match="halves end at 65504"):
        emit(graph.module, choose("ios18"), True)


def test_blocks_of_integers_are_warned_of() -> None:
    graph, _ = graph_of("matmul", 64, ["quantize_weights{format=i4}"])
    (note,) = emit(graph.module, choose("ios18"), True).notes
    assert "reported to leave the Neural Engine" in note
    graph, _ = graph_of("matmul", 64, ["palettize{group=16}"])
    assert emit(graph.module, choose("ios18"), True).notes == ()


@pytest.mark.parametrize("kind", ["conv", "conv_transpose"])
def test_a_scale_behind_a_convolution_stands_before_its_bias(kind: str, tmp_path: Path) -> None:
    weights, bias = RNG.standard_normal((8, 8, 3, 3)) * np.exp2(RNG.integers(-4, 4, 8))[:, None, None, None], np.ones(8)
    if kind == "conv_transpose":
        weights = weights.swapaxes(0, 1)[:, :4]  # in two groups
    graph = Graph(Module())
    b = Builder(graph)
    plain = {"strides": (1, 1), "pads": (1, 1, 1, 1), "dilations": (1, 1), "layout": "nchw"}
    w, x = b.const(weights.astype(np.float32)), graph.add_input("x", Type("f32", (1, 8, 5, 5)))
    more = {"output_padding": (0, 0), "groups": 2} if kind == "conv_transpose" else {}
    graph.outputs.append(("y", b.op(kind, x, w, b.const(bias.astype(np.float32)), **plain, **more)))
    run_pipeline(graph.module, ["float8_weights{least=1}"])
    files = package_files(emit(graph.module, choose("ios18"), False))
    feeds = {"x": RNG.standard_normal((1, 8, 5, 5)).astype(np.float32)}
    _, scale, outputs = saved_weights(write_package(files, tmp_path / "x.mlpackage"), feeds)
    assert scale is not None
    assert len(np.unique(scale)) > 3
    np.testing.assert_allclose(np.asarray(outputs["y"]), interp.run(graph, feeds)["y"], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", ["conv", "conv_transpose"])
@pytest.mark.parametrize("name", ["ios16", "ios17", "ios18"])
def test_dilated_weights_whose_scales_are_no_halves(name: str, kind: str, tmp_path: Path) -> None:
    """MIL dilates constants only, and weights that are cast are none: a convolution has zeros between its taps then."""
    graph = Graph(Module())
    b = Builder(graph)
    stored = integers(-127, 128, 12, 12, 3, 3)
    scale = graph.module.intern(np.full(12, 0.3, np.float32))
    w = graph.encoded(
        stored, Type("f32", stored.shape, (Quant("i8", scale, graph.module.intern(np.zeros(12, np.int8)), 0),))
    )
    plain = {"strides": (1, 1), "pads": (0, 0, 0, 0), "dilations": (2, 2), "layout": "nchw"}
    more = {"output_padding": (0, 0), "groups": 1} if kind == "conv_transpose" else {}
    graph.outputs.append(("y", b.op(kind, graph.add_input("x", Type("f32", (1, 12, 7, 7))), w, **plain, **more)))
    files = package_files(emit(graph.module, choose(name), True))
    check_reload(files)
    feeds = {"x": RNG.standard_normal((1, 12, 7, 7)).astype(np.float16).astype(np.float32)}
    evaluator = Evaluator(read_package(write_package(files, tmp_path / "x.mlpackage")))
    spread = kind == "conv" and name != "ios16"
    assert ("concat" in [o.type for o in evaluator.function.block.operations]) == spread
    meant = interp.run(graph, feeds)["y"]
    assert np.abs(np.asarray(evaluator.run(feeds)["y"]) - meant).max() <= 2e-3 * np.abs(meant).max()


@pytest.mark.parametrize("format", ["e4m3", "e5m2"])
@pytest.mark.parametrize("least", [1e-6, 0.3])
def test_scales_of_channels_that_halves_do_not_have(least: float, format: str, tmp_path: Path) -> None:
    """Behind the product in float32; tiny ones are not put into the table, whose numbers would fall below halves."""
    graph, stored = Graph(Module()), integers(0, 0x60, 8, 8, dtype=np.uint8)
    scale = RNG.uniform(least, 2 * least, 8).astype(np.float32)
    w = graph.encoded(stored, Type("f32", (8, 8), (Float8(format, graph.module.intern(scale), 0),)))
    x = graph.add_input("x", Type("f32", (1, 8)))
    graph.outputs.append(("y", Builder(graph).op("matmul", x, w, trans_b=True)))
    emitted = emit(graph.module, choose("ios18"), True)
    assert emitted.notes == (WIDE,)
    package = write_package(package_files(emitted), tmp_path / "x.mlpackage")
    feeds = {"x": np.ones((1, 8), np.float32)}
    found, behind, outputs = saved_weights(package, feeds)
    assert behind is not None
    wide = found.astype(np.float64) * behind.astype(np.float64)[:, None]
    np.testing.assert_allclose(wide, graph.array(w), rtol=1e-7, atol=0)
    meant = interp.run(graph, feeds)["y"]
    assert np.abs(np.asarray(outputs["y"], np.float32) - meant).max() <= 2e-3 * np.abs(meant).max() + 2.0**-24


def test_a_matrix_that_is_cast_is_no_layer(tmp_path: Path) -> None:
    """MIL's linear takes constants only."""
    graph = Graph(Module())
    scale, zero = graph.module.intern(np.full(32, 0.3, np.float32)), graph.module.intern(np.zeros(32, np.int8))
    w = graph.encoded(integers(-127, 128, 32, 40), Type("f32", (32, 40), (Quant("i8", scale, zero, 0),)))
    x = graph.add_input("x", Type("f32", (1, 40)))
    graph.outputs.append(("y", Builder(graph).op("matmul", x, w, trans_b=True)))
    files = package_files(emit(graph.module, choose("ios18"), True))
    check_reload(files)
    evaluator = Evaluator(read_package(write_package(files, tmp_path / "x.mlpackage")))
    assert "linear" not in [o.type for o in evaluator.function.block.operations]
    found = np.asarray(evaluator.run({"x": np.ones((1, 40), np.float32)})["y"])
    np.testing.assert_allclose(found, interp.run(graph, {"x": np.ones((1, 40), np.float32)})["y"], rtol=2e-3, atol=0.1)
