"""Encodings of constants: what chains of them mean, their text, what is refused, and how they move with the axes."""

from __future__ import annotations

import numpy as np
import pytest

from edgec.ir import interp
from edgec.ir.build import Builder
from edgec.ir.encodings import nearest_steps
from edgec.ir.errors import IRError
from edgec.ir.graph import Graph, Module, Value
from edgec.ir.parse import parse_module
from edgec.ir.text import print_module
from edgec.ir.types import Encoding, Float8, Palette, Quant, Scale, Sparse, Type
from edgec.ir.verify import verify_module

TEXT = """const #c0 = f32[1,4,1](0.0, 0.5, -1.0, 2.0)
const #c1 = u8[2,4](0, 1, 2, 3, 3, 2, 1, 0)
const #c2 = #c1 f32[2,4] palette<2, table=#c0>
const #c3 = f32[2,2,1](1.0, -1.0, 10.0, 20.0)
const #c4 = u8[2,4](0, 1, 1, 0, 1, 0, 0, 1)
const #c5 = #c4 f32[2,4] palette<1@0:1, table=#c3>
const #c6 = f32[1,2,2](1.0, 2.0, 3.0, 4.0)
const #c7 = u8[2,2](0, 1, 1, 0)
const #c8 = #c7 f32[2,4] palette<1, vectors=2@1, table=#c6>
const #c9 = f32[2,2](0.5, 2.0, 4.0, 8.0)
const #c10 = i8[1,4,1](-8, -1, 1, 7)
const #c11 = #c1 f32[2,4] scale<@1:3, scale=#c9> palette<2, table=#c10>
const #c12 = bool[2,4](True, False, True, False, False, False, True, True)
const #c13 = f32[2,4](1.5, 0.0, -2.5, 0.0, 0.0, 0.0, 3.0, 4.0)
const #c14 = #c13 f32[2,4] sparse<mask=#c12>
const #c15 = f32[2](0.5, 0.25)
const #c16 = i8[2](1, 0)
const #c17 = i8[2,4](3, 0, -3, 0, 0, 0, 8, 4)
const #c18 = #c17 f32[2,4] sparse<mask=#c12> quant<i8@0, scale=#c15, zero=#c16>
const #c19 = u8[2,4](3, 0, 2, 0, 0, 0, 1, 0)
const #c20 = #c19 f32[2,4] sparse<mask=#c12> palette<2, table=#c0>
const #c21 = f32[](3.0)
const #c22 = #c1 f32[2,4] scale<scale=#c21> palette<2, table=#c0>
entry main(%x: f32[2,4]) {
  %0: f32[2,4] = mul %x, #c2
  %1: f32[2,4] = mul %x, #c5
  %2: f32[2,4] = mul %x, #c8
  %3: f32[2,4] = mul %x, #c11
  %4: f32[2,4] = mul %x, #c14
  %5: f32[2,4] = mul %x, #c18
  %6: f32[2,4] = mul %x, #c20
  %7: f32[2,4] = mul %x, #c22
  return "a" = %0, "b" = %1, "c" = %2, "d" = %3, "e" = %4, "f" = %5, "g" = %6, "h" = %7
}
"""
MEANT = {
    "a": [[0, 0.5, -1, 2], [2, -1, 0.5, 0]],
    "b": [[1, -1, -1, 1], [20, 10, 10, 20]],
    "c": [[1, 2, 3, 4], [3, 4, 1, 2]],
    "d": [[-4, -0.5, 0.5, 14], [28, 4, -4, -64]],
    "e": [[1.5, 0, -2.5, 0], [0, 0, 3, 4]],
    "f": [[1, 0, -2, 0], [0, 0, 2, 1]],
    "g": [[2, 0, -1, 0], [0, 0, 0.5, 0]],
    "h": [[0, 1.5, -3, 6], [6, -3, 1.5, 0]],
}


def test_chains_mean_what_they_say_and_round_trip() -> None:
    module = parse_module(TEXT)
    verify_module(module)
    assert print_module(module) == TEXT
    found = interp.run(module.entries["main"], {"x": np.ones((2, 4), np.float32)})
    for name, meant in MEANT.items():
        np.testing.assert_array_equal(found[name], np.array(meant, np.float32), err_msg=name)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("palette<2, table=#c0>\nconst #c3", "palette<1, table=#c0>\nconst #c3"), r"f32 or i8\[1, 2, 1\]"),
        (("palette<2, table=#c0>\nconst #c3", "palette<5, table=#c0>\nconst #c3"), "5 bits; legal: 1, 2, 3, 4, 6, 8"),
        (("palette<1@0:1, table=#c3>", "palette<1@0:2, table=#c3>"), r"f32 or i8\[1, 2, 1\]"),
        (("palette<1@0:1, table=#c3>", "palette<1@2:1, table=#c3>"), "along axis 2"),
        (("u8[2,4](0, 1, 1, 0, 1", "u8[2,4](0, 2, 1, 0, 1"), "the index 2 of 1 bits"),
        (("vectors=2@1", "vectors=3@1"), "vectors of 3, which do not fill axis 1"),
        (("scale<@1:3, scale=#c9> palette<2, table=#c10>", "palette<2, table=#c10> scale<@1:3, scale=#c9>"),
         "stored as palette scale; legal: quant, float8, palette, scale palette, sparse"),
        (("sparse<mask=#c12>\n", "sparse<mask=#c1>\n"), r"mask .* bool\[2, 4\]"),
        (("(1.5, 0.0, -2.5", "(1.5, 1.0, -2.5"), "numbers other than 0 are stored outside its mask"),
        (("-1.0, 2.0)", "-1.0, inf)"), "not finite"),
        (("%0: f32[2,4] = mul", "%0: f32[2,4] palette<2, table=#c0> = mul"), "the result .* palette; legal: quant"),
    ],
)  # fmt: skip
def test_illegal_chains(change: tuple[str, str], message: str) -> None:
    assert change[0] in TEXT
    with pytest.raises(IRError, match=message):
        verify_module(parse_module(TEXT.replace(change[0], change[1], 1)))


DIMS = (4, 6, 2, 3)


def constants_of(graph: Graph) -> dict[str, Value]:
    """A constant of each form, over DIMS."""
    rng, key = np.random.default_rng(0), graph.module.intern
    mask = rng.random(DIMS) > 0.5

    def numbers(*dims: int) -> str:
        return key(rng.uniform(0.5, 2, dims).astype(np.float32))

    def made(stored: np.ndarray, *encodings: Encoding) -> Value:
        return graph.encoded(stored, Type("f32", DIMS, encodings))

    bytes_ = rng.integers(-100, 100, DIMS).astype(np.int8)
    fours = rng.integers(0, 16, DIMS).astype(np.uint8)
    zeros = key(rng.integers(-3, 3, (4, 2, 2, 3)).astype(np.int8))
    return {
        "tensor": made(bytes_, Quant("i8", numbers(), key(np.array(3, np.int8)))),
        "channel": made(bytes_, Quant("i8", numbers(4), key(np.arange(4, dtype=np.int8)), 0)),
        "groups": made(bytes_, Quant("i8", numbers(4, 2, 2, 3), zeros, 1, 4)),
        "float8": made(bytes_.view(np.uint8) & 0x7B, Float8("e4m3", numbers(4), 0)),
        "float8 groups": made(bytes_.view(np.uint8) & 0x7B, Float8("e5m2", numbers(4, 2, 2, 3), 1, 4)),
        "palette": made(fours, Palette(4, numbers(2, 16, 1), 1, 3)),
        "vectors": made(fours[:, ::2], Palette(4, numbers(2, 16, 2), 0, 2, 2, 1)),
        "vectors along groups": made(fours[:, ::2], Palette(4, numbers(2, 16, 2), 1, 4, 2, 1)),
        "scaled": made(fours, Scale(numbers(4, 3, 2, 3), 1, 2), Palette(4, numbers(1, 16, 1))),
        "sparse": made(np.where(mask, bytes_, 0).astype(np.float32), Sparse(key(mask))),
        "sparse bytes": made(np.where(mask, bytes_, 0).astype(np.int8), Sparse(key(mask)),
                             Quant("i8", numbers(4), key(np.ones(4, np.int8)), 0)),
        "sparse palette": made(np.where(mask, fours, 0).astype(np.uint8), Sparse(key(mask)),
                               Palette(4, numbers(2, 16, 1), 0, 2)),
    }  # fmt: skip


NAMES = list(constants_of(Graph(Module())))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("perm", [(1, 0, 2, 3), (3, 1, 2, 0), (0, 2, 3, 1)])
def test_transposed_as_they_are_stored(name: str, perm: tuple[int, ...]) -> None:
    graph = Graph(Module())
    value = constants_of(graph)[name]
    moved = Builder(graph).op("transpose", value, perm=perm)
    graph.outputs.append(("y", Builder(graph, fold=False).op("relu", moved)))
    verify_module(graph.module)
    assert [type(e) for e in moved.type.encodings] == [type(e) for e in value.type.encodings]
    assert moved.type.stored.size == value.type.stored.size
    np.testing.assert_array_equal(graph.array(moved), graph.array(value).transpose(perm))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("shape", [(4, 6, 6), (4, 1, 6, 6, 1), (24, 6), (4, 36), (144,)])
def test_reshaped_as_they_are_stored_or_in_floats(name: str, shape: tuple[int, ...]) -> None:
    graph = Graph(Module())
    value = constants_of(graph)[name]
    moved = Builder(graph).op("reshape", value, shape=shape)
    graph.outputs.append(("y", Builder(graph, fold=False).op("relu", moved)))
    verify_module(graph.module)
    np.testing.assert_array_equal(graph.array(moved), graph.array(value).reshape(shape))
    axes = {e.axis for e in value.type.encodings} | ({1} if name.startswith("vectors") else set())
    kept = {(24, 6): {None}, (4, 36): {None, 0}, (144,): {None}}.get(shape, {None, 0, 1})
    assert bool(moved.type.encodings) == (axes <= kept)


def test_steps_between_two_are_the_even_one() -> None:
    """As ONNX's QuantizeLinear rounds; what is beyond a byte is its end, and a NaN is the zero point."""
    real = np.array([0.25, 0.75, 1.25, -0.25, -0.75, 99.0, -99.0, np.nan], np.float32)
    found = nearest_steps(real, np.array(0.5, np.float32), np.array(3, np.int8))
    assert found.tolist() == [3, 5, 5, 3, 1, 127, -128, 3]
    far = nearest_steps(np.array([-6e4, 6e4], np.float16), np.array(0.5, np.float16), np.array(32000, np.int16))
    assert far.tolist() == [-(2**15), 2**15 - 1], "what overflows halves saturates, too"
    wide = nearest_steps(np.array([2.0**20, -1e30], np.float32), np.array(1.0, np.float32), np.array(-5, np.int32))
    assert wide.tolist() == [2**20 - 5, -(2**31)]
