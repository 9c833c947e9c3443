"""Row rules of the operator table, held against the operators' meaning in numpy.

For each operator with a rule: rows of the result must not change when operand rows that the rule leaves out do, and
must when the first or the last row that it names does. A sink must be what its own reduction makes of the rows'
results.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from edgec.ir.errors import IRError
from edgec.ir.ops import OPS
from edgec.ir.ops.row_rules import boundary
from edgec.ir.rows import row_axes, row_view
from edgec.ir.types import DTYPES, Type

F32, I64 = "f32", "i64"


def resizing(mode: str, coord: str, rows: int) -> dict[str, Any]:
    sizes = (IMAGE[0], rows, 9, IMAGE[3])
    scales = tuple(n / d for n, d in zip(sizes, IMAGE, strict=True))
    return {"sizes": sizes, "scales": scales, "mode": mode, "coord": coord}


def I8(shape: tuple[int, ...]) -> np.ndarray:
    return np.random.default_rng(1).integers(1, 118, shape, np.int8)


FACTORS = np.full(5, 65535, np.int32), np.full(5, 20, np.int32)

# kind -> cases of (shapes of operands, attributes); an integer array stands for itself
IMAGE = (2, 9, 6, 4)
WINDOW = {"strides": (1, 1), "pads": (1, 1, 1, 1), "dilations": (1, 1), "layout": "nhwc"}
STRIDED = {"strides": (2, 2), "pads": (2, 1, 0, 1), "dilations": (2, 1), "layout": "nhwc"}
CASES: dict[str, list[tuple[list[Any], dict[str, Any]]]] = {
    "conv": [([IMAGE, (5, 4, 3, 3)], WINDOW), ([IMAGE, (5, 4, 3, 2), (5,)], STRIDED),
             ([IMAGE, (4, 4, 1, 1), None, IMAGE], WINDOW | {"pads": (0, 0, 0, 0)})],
    "conv_transpose": [
        ([IMAGE, (4, 5, 3, 3)], {**WINDOW, "strides": (2, 2), "output_padding": (1, 0)}),
        ([IMAGE, (4, 5, 2, 2), (5,)], {**WINDOW, "strides": (2, 1), "pads": (0, 0, 0, 0), "output_padding": (0, 0)}),
        ([IMAGE, (4, 5, 4, 3)], {**WINDOW, "strides": (1, 2), "dilations": (2, 1), "output_padding": (0, 0)}),
    ],
    "resize": [
        ([IMAGE], resizing(mode, coord, rows)) for mode, coord, rows in (
            ("nearest", "asymmetric", 18), ("linear", "half_pixel", 18), ("linear", "align_corners", 17),
            ("linear", "half_pixel", 6), ("cubic", "asymmetric", 27), ("nearest", "half_pixel", 13))
    ],
    "max_pool": [([IMAGE], WINDOW | {"kernel": (3, 3)}), ([IMAGE], STRIDED | {"kernel": (3, 2)})],
    "avg_pool": [([IMAGE], WINDOW | {"kernel": (3, 3), "count_include_pad": True})],
    "matmul": [([(7, 5), (5, 3)], {}), ([(2, 7, 5), (3, 5), (3,)], {"trans_b": True}), ([IMAGE, (4, 6)], {}),
               ([(2, 7, 5), (1, 5, 3), (2, 7, 3)], {})],
    "softmax": [([(2, 7, 5)], {"axis": 2}), ([IMAGE], {"axis": 2})],
    "log_softmax": [([(7, 5)], {"axis": 1})],
    "layer_norm": [([(2, 7, 5), (5,), (5,)], {"axis": 2, "eps": 1e-5}), ([IMAGE], {"axis": 2, "eps": 1e-5})],
    "rms_norm": [([(2, 7, 5), (5,)], {"axis": 2, "eps": 1e-5})],
    "concat": [([(2, 7, 5), (2, 7, 3)], {"axis": 2}), ([IMAGE, IMAGE], {"axis": 3})],
    "slice": [([(2, 7, 5)], {"starts": (0, 0, 1), "stops": (2, 7, 5), "steps": (1, 1, 2)}),
              ([IMAGE], {"starts": (0, 0, 1, 0), "stops": (2, 9, 4, 4), "steps": (1, 1, 1, 1)})],
    "pad": [([IMAGE], {"before": (0, 0, 1, 0), "after": (0, 0, 0, 2)})],
    "transpose": [([IMAGE], {"perm": (0, 1, 3, 2)}), ([IMAGE], {"perm": (0, 2, 3, 1)})],
    "gather": [([IMAGE, np.array([2, 0])], {"axis": 3}), ([(2, 7, 5), np.array([4, 4])], {"axis": 2})],
    "cast": [([(2, 7, 5)], {"to": "f16"})],
    "bitcast": [([(2, 7, 5)], {"to": "i32"})],
    "clip": [([(2, 7, 5)], {"lo": -100.0, "hi": 100.0})],
    "where": [([np.ones((2, 7, 5), bool), (2, 7, 5), (2, 7, 5)], {})],
    "leaky_relu": [([IMAGE], {"alpha": 0.1})], "elu": [([IMAGE], {"alpha": 0.5})],
    # operands of i8 between 1 and 117, weights and factors so that every step of an operand shows in the result
    "encode": [([IMAGE], {})],
    "quantize": [([IMAGE, np.array(0.01, np.float32), np.array(3, np.int8)], {}),
                 ([(7, 5), np.full(5, 0.01, np.float32), np.zeros(5, np.uint8)], {"axis": 1})],
    "to_float8": [([IMAGE], {"format": "e4m3", "scale": 0.25})],
    "from_float8": [([I8(IMAGE).view(np.uint8)], {"format": "e5m2", "scale": 0.25})],
    "dequantize": [([I8(IMAGE), np.array(0.1, np.float32), np.array(3, np.int8)], {})],
    "qconv": [([I8(IMAGE), np.ones((5, 4, 3, 3), np.int8)], WINDOW),
              ([I8(IMAGE), np.ones((5, 4, 3, 2), np.int8), np.zeros(5, np.int32), *FACTORS], STRIDED)],
    "qmatmul": [([I8((2, 7, 5)), np.ones((5, 5), np.int8), np.zeros(5, np.int32), *FACTORS], {})],
    "qadd": [([I8(IMAGE), I8(IMAGE)], {"x_scale": 500, "y_scale": 500, "shift": 10})],
    "qmul": [([I8(IMAGE), I8((2, 1, 1, 4))], {"multiplier": 40000, "shift": 20})],
    "qsum_pool": [([I8(IMAGE)], {**WINDOW, "kernel": (3, 3), "multiplier": 65535, "shift": 19})],
    "qresize": [([I8(IMAGE)], resizing("linear", coord, rows)) for coord, rows in (
        ("half_pixel", 18), ("align_corners", 17), ("half_pixel", 6), ("asymmetric", 13))],
    # all exponentials alike but the first, and gains that show every step
    "qsoftmax": [([I8((2, 7, 5)), np.array([65535, *[9000] * 255], np.uint16)], {"axis": 2})],
    "qnorm": [([I8((2, 7, 5)), np.full(5, 9000, np.int16), np.zeros(5, np.int16)], {"axis": 2, "shift": 1}),
              ([I8(IMAGE), np.full((6, 4), 9000, np.int16), np.zeros((6, 4), np.int16)], {"axis": 2, "shift": 1})],
    "qprelu": [([I8(IMAGE), np.full(4, 300, np.int16)], {"positive": 30000, "shift": 7})],
    "table": [([I8(IMAGE), np.arange(256, dtype=np.int32)], {})],
    "selu": [([IMAGE], {"alpha": 1.6, "gamma": 1.05})], "hard_sigmoid": [([IMAGE], {"alpha": 0.2, "beta": 0.5})],
}  # fmt: skip
for _kind, _row in OPS.items():
    if _kind.startswith("reduce_"):
        CASES[_kind] = [([IMAGE], {"axes": (1, 2), "keepdims": True}), ([IMAGE], {"axes": (1, 2, 3)}),
                        ([(2, 7, 5)], {"axes": (2,), "keepdims": True})]  # fmt: skip
    elif _row.family == "elementwise" and _row.arity == (2, 2):
        CASES.setdefault(_kind, [([(2, 7, 5), (2, 7, 5)], {}), ([IMAGE, (2, 1, 1, 4)], {}), ([IMAGE, (9, 1, 4)], {}),
                                 ([(1, 7, 5), (7, 5)], {})])  # fmt: skip
    elif _row.family == "elementwise":
        CASES.setdefault(_kind, [([IMAGE], {})])
# a result that says little of its operand, or a window by a ratio, of which not every row needs all: only rows that are
# left out are looked at
COARSE = {
    "resize", "qresize", "conv_transpose", "sign", "where", "floor", "ceil", "round", "is_nan", "is_inf", "not",
    *(kind for kind, row in OPS.items() if row.family == "elementwise" and row.arity == (2, 2)),
}  # fmt: skip


def operands(kind: str, shapes: list[Any], rng: np.random.Generator) -> list[np.ndarray | None]:
    """Arrays of the first element type that the operator takes."""
    for dtype in ("f32", "i32", "bool"):
        made = [
            s if s is None or isinstance(s, np.ndarray) else rng.uniform(0.5, 3.0, s).astype(DTYPES[dtype])
            for s in shapes
        ]
        try:
            OPS[kind].infer(types(made), OPS[kind].complete(attributes(kind, shapes)))
        except IRError:
            continue
        return made
    raise AssertionError(f"{kind} takes no operand of {shapes}")


def types(arrays: list[np.ndarray | None]) -> list[Type | None]:
    names = {np.dtype(n): d for d, n in DTYPES.items()}
    return [Type(names[a.dtype], a.shape) if a is not None else None for a in arrays]


def attributes(kind: str, shapes: list[Any]) -> dict[str, Any]:
    return next(attrs for s, attrs in CASES[kind] if s is shapes)


def rows_of(array: np.ndarray, rank: int) -> np.ndarray:
    """[images][rows][...] of an operand that has the rows of a result of `rank`."""
    dims = (1,) * (rank - array.ndim) + array.shape
    view = row_view(dims)
    return array.reshape(view.images, view.rows, -1)


def test_every_rule_is_tried() -> None:
    assert {kind for kind, row in OPS.items() if row.rows is not boundary} == set(CASES)


@pytest.mark.parametrize(("kind", "case"), [(k, i) for k, cases in CASES.items() for i in range(len(cases))])
def test_rule(kind: str, case: int) -> None:
    shapes, given = CASES[kind][case]
    row, rng = OPS[kind], np.random.default_rng(3)
    attrs = row.complete(given)
    arrays = operands(kind, shapes, rng)
    (result,) = row.infer(types(arrays), attrs)
    rule = row.rows(types(arrays), result, attrs)
    assert rule is not None, f"{kind} has no rule for {shapes}"
    (whole,) = row.evaluate(arrays, attrs)
    if rule.sink:
        first = row.evaluate(arrays, attrs | {"axes": tuple(a for a in given["axes"] if a != 1), "keepdims": True})
        (second,) = row.evaluate(first, attrs | {"axes": (1,), "keepdims": True})
        np.testing.assert_allclose(second.reshape(whole.shape), whole, rtol=1e-6)
        return
    rank = result.rank
    assert (rule.images, rule.rows) == rows_of(whole, rank).shape[:2]
    for a, b in ((0, 1), (2, 4), (rule.rows - 1, rule.rows), (0, rule.rows)):
        expected = rows_of(whole, rank)[:, a:b]

        def result_rows(at: int, keep: slice, chosen: bool, a: int = a, b: int = b) -> np.ndarray:
            """With operand `at` changed: in the rows of `keep`, or in all others."""
            changed = [x.copy() if x is not None else None for x in arrays]
            target = rows_of(changed[at], rank)
            mask = np.zeros(target.shape[1], bool)
            mask[keep] = True
            mask = mask if chosen else ~mask
            target[:, mask] = (target[:, mask] * 2 + 1).astype(target.dtype)
            return rows_of(row.evaluate(changed, attrs)[0], rank)[:, a:b]

        for at, window in enumerate(rule.reads):
            if window is None or arrays[at].dtype == bool:
                continue
            assert arrays[at].ndim == rank or row_axes(rank) >= rank - arrays[at].ndim
            low, high = window.low(a), window.high(b, rows_of(arrays[at], rank).shape[1])
            np.testing.assert_array_equal(result_rows(at, slice(low, high), False), expected)
            if kind not in COARSE and high > low:
                assert not np.array_equal(result_rows(at, slice(low, low + 1), True), expected), (at, "first row")
                assert not np.array_equal(result_rows(at, slice(high - 1, high), True), expected), (at, "last row")
