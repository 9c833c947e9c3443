"""The text form: exact round trips, and positions of what is wrong."""

from __future__ import annotations

import numpy as np
import pytest

from edgec.ir import interp
from edgec.ir.errors import IRError
from edgec.ir.parse import parse_module
from edgec.ir.text import print_module
from edgec.ir.verify import verify_module

TEXT = """const #c0 = f32[4](0.1, -inf, nan, 1e-40)
const #c1 = i64[2](-9223372036854775808, 9223372036854775807)
const #c2 = bool[](True)
const #c3 = f32[2](0.0, 0.0)
entry main(%x: f32[4], %in1_ "a b": f32[2], %h: f32[2]) {
  %0: f32[4] = add %x, #c0 {act="clip:0.0:6.0"} @ "Add 'it\\"s'"
  %1: f32[2], %2: i64[2] = topk %0 {k=2, axis=0}
  %3: f32[2] = add %1, %h
  state %h = %3 from #c3
  return "y" = %3, "i" = %2, "k" = #c1, "t" = #c2
}
"""


def test_round_trip() -> None:
    module = parse_module(TEXT)
    verify_module(module)
    text = print_module(module)
    assert print_module(parse_module(text)) == text
    (graph,) = module.entries.values()
    assert [v.name for v in graph.inputs] == ["x", "a b", "h"]
    assert graph.ops[0].source == "Add 'it\"s'"
    assert graph.states[0].output is graph.ops[2].result
    constant = graph.array(graph.ops[0].arg(1))
    np.testing.assert_array_equal(constant, np.array([0.1, -np.inf, np.nan, 1e-40], np.float32))


ENCODED = """const #c0 = f32[](0.5)
const #c1 = i8[](-3)
const #c2 = f32[2](0.25, 0.5)
const #c3 = i8[2](0, 0)
const #c4 = i8[2,3](1, -2, 3, -4, 5, -6)
const #c5 = #c4 f32[2,3] quant<i8@0, scale=#c2, zero=#c3>
const #c6 = u8[2,3](56, 0, 64, 184, 48, 1)
const #c7 = #c6 f32[2,3] float8<e4m3, scale=#c0>
entry main(%x: f32[2,3]) {
  %0: f32[2,3] quant<i8, scale=#c0, zero=#c1> = encode %x
  %1: f32[2,3] = mul %0, #c5
  %2: f32[2,3] = add %1, #c7
  return "y" = %2
}
"""


GROUPED = """const #c0 = f32[2,2](0.5, 0.25, 2.0, 1.0)
const #c1 = i8[2,2](0, 0, 0, 0)
const #c2 = i8[2,3](1, -2, 3, -8, 7, -6)
const #c3 = #c2 f32[2,3] quant<i4@1:2, scale=#c0, zero=#c1>
entry main(%x: f32[2,3]) {
  %0: f32[2,3] = mul %x, #c3
  return "y" = %0
}
"""


def test_groups_of_four_bits() -> None:
    """A scale for each two along axis 1; the last group is shorter."""
    module = parse_module(GROUPED)
    verify_module(module)
    assert "quant<i4@1:2, scale=#" in print_module(module)
    assert print_module(module) == print_module(parse_module(print_module(module)))
    found = interp.run(module.entries["main"], {"x": np.ones((2, 3), np.float32)})["y"]
    np.testing.assert_array_equal(found, [[0.5, -1.0, 0.75], [-16.0, 14.0, -6.0]])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("i4@1:2", "i4@1:3"), r"must be a constant f32\[2, 1\]"),
        (("-8, 7", "-9, 7"), "beyond -8 and 7"),
        (("i4@1:2", "i4@5:2"), "along axis 5"),
        (("i4@1", "i5@1"), "encoded in i5; legal: i4, i8"),
    ],
)
def test_illegal_groups(change: tuple[str, str], message: str) -> None:
    with pytest.raises(IRError, match=message):
        verify_module(parse_module(GROUPED.replace(*change)))


def test_encodings_round_trip_and_mean_what_they_say() -> None:
    module = parse_module(ENCODED)
    verify_module(module)
    assert print_module(module) == print_module(parse_module(print_module(module)))
    (graph,) = module.entries.values()
    x = np.array([[0.3, 100.0, -100.0], [0.25, np.nan, -0.76]], np.float32)
    stored = np.array([[0.5, 65.0, -62.5], [0.0, 0.0, -1.0]], np.float32)  # steps of 0.5 from -125 to 130 around -3
    weights = np.array([[0.25, -0.5, 0.75], [-2.0, 2.5, -3.0]], np.float32)
    added = np.array([[0.5, 0.0, 1.0], [-0.5, 0.25, 2.0**-10]], np.float32)  # e4m3: 1, 0, 2, -1, 0.5, 2^-9
    np.testing.assert_array_equal(interp.run(graph, {"x": x})["y"], stored * weights + added)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("#c0 = f32[](0.5)", "#c0 = f32[](-0.5)"), "not a positive number"),
        (("quant<i8@0", "quant<i8@1"), r"must be a constant f32\[3\]"),
        (("quant<i8@0", "quant<u8@0"), r"another type|must be a constant u8"),
        (("float8<e4m3", "float8<e3m4"), "legal: e4m3, e5m2"),
        (('"y" = %2', '"y" = %0'), "the output y is encoded"),
    ],
)
def test_illegal_encodings(change: tuple[str, str], message: str) -> None:
    with pytest.raises(IRError, match=message):
        verify_module(parse_module(ENCODED.replace(*change)))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "1:1: the text has no entry"),
        ("entry main(%x: f32[4]) {\n  %0: f32[4] = frob %x\n", "2:16: there is no operator frob"),
        ("entry main(%x: f32[4]) {\n  %0: f32[4] = relu %y\n", "%y is not defined"),
        ("entry main(%x: f32[4], %x: f32[4])", "%x is defined twice"),
        ("const #c0 = f32[3](1.0)", "3 elements, and 1 are given"),
        ("const #c0 = f32[99999999,99999]seed(1)", "too large"),
        ('const #c0 = f32[99]sha("ab")', "not at hand"),
        ('entry main(%x: f32[4]) { return "y" = %x', "found the end"),
        ("entry ?", "1:7: '?' stands for nothing"),
    ],
)
def test_errors(text: str, message: str) -> None:
    with pytest.raises(IRError) as caught:
        parse_module(text)
    assert message in str(caught.value)


def test_verifier() -> None:
    bad = TEXT.replace("%3: f32[2] = add %1, %h", "%3: f32[3] = add %1, %h")
    with pytest.raises(IRError, match="add makes"):
        verify_module(parse_module(bad))
    twice = 'entry main(%x: f32[4]) {\n  return "y" = %x, "y" = %x\n}'
    with pytest.raises(IRError, match="repeat"):
        verify_module(parse_module(twice))


def test_every_prefix_is_an_error_of_ours() -> None:
    for i in range(len(TEXT) - 1):
        with pytest.raises(IRError):
            parse_module(TEXT[:i])
