"""Which element types of each core operator have kernels: found by lowering one small op of each."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from edgec.ir.build import Builder
from edgec.ir.errors import IRError, UnsupportedError
from edgec.ir.graph import Graph, Module
from edgec.ir.ops import OPS
from edgec.ir.types import DTYPES, Type, bits_of
from edgec.passes import CPU_FLOAT
from edgec.pipeline import run_pipeline
from edgec.target_table import TARGETS, Target
from edgec.targets.c.build import make_plan

Operand = tuple[str, tuple[int, ...]]  # dtype, "*" for the one that is tried

_WINDOW: dict[str, Any] = {"strides": (1, 1), "pads": (0, 0, 0, 0), "dilations": (1, 1)}
_SCALED: dict[str, Any] = {"multiplier": 40000, "shift": 20}
_MATRIX: list[Operand] = [("*", (4, 6))]
_INDEX: Operand = ("i64", (4, 6))
_ATTRS: dict[str, dict[str, Any]] = {
    "reshape": {"shape": (24,)}, "transpose": {"perm": (1, 0)}, "broadcast_to": {"shape": (2, 4, 6)},
    "slice": {"starts": (1, 0), "stops": (3, 6), "steps": (1, 1)}, "concat": {"axis": 0},
    "pad": {"before": (1, 0), "after": (0, 1)}, "topk": {"k": 2, "axis": 1},
    "resize": {"sizes": (8, 6), "scales": (2.0, 1.0), "mode": "linear", "coord": "half_pixel"},
    "conv": _WINDOW, "conv_transpose": {**_WINDOW, "output_padding": (0, 0)}, "max_pool": {**_WINDOW, "kernel": (2, 2)},
    "avg_pool": {**_WINDOW, "kernel": (2, 2)}, "attention": {"scale": 1.0}, "cast": {"to": "f32"},
    "qconv": {**_WINDOW, "layout": "nhwc"}, "qadd": {"x_scale": 3, "y_scale": 4, "shift": 3}, "qmul": _SCALED,
    **{kind: {"format": "e4m3", "scale": 0.5} for kind in ("to_float8", "from_float8")},
    "qnorm": {"axis": 1, "shift": 4}, "qprelu": {"positive": 9000, "shift": 4}, "qsoftmax": {"axis": 1},
    "qattention": {**_SCALED, "factor": 1 << 31},
    "qresize": {"sizes": (1, 9, 10, 2), "scales": (1.0, 1.8, 2.0, 1.0), "coord": "half_pixel"},
    "qsum": {"axes": (1,), **_SCALED}, "qsum_pool": {**_WINDOW, "kernel": (2, 2), **_SCALED},
    **{kind: {"axes": (1,)} for kind in OPS if kind.startswith("reduce_")},
    **{kind: {"axis": 1} for kind in (
        "argmax", "argmin", "cumsum", "softmax", "log_softmax", "layer_norm", "rms_norm", "gather", "gather_elements",
        "scatter_elements",
    )},
    **{kind: {"direction": "forward", "activations": names} for kind, names in (
        ("lstm", ("Sigmoid", "Tanh", "Tanh")), ("gru", ("Sigmoid", "Tanh")), ("rnn", ("Tanh",)),
        ("qlstm", ("Sigmoid", "Tanh", "Tanh")), ("qgru", ("Sigmoid", "Tanh")), ("qrnn", ("Tanh",)),
    )},
}  # fmt: skip
_IMAGE: Operand = ("*", (1, 2, 5, 5))
_STEPS: Operand = ("*", (3, 1, 5))
_OPERANDS: dict[str, list[Operand]] = {
    "qlstm": [_STEPS, ("f32", (1, 16, 5)), ("i8", (1, 16, 4)), ("f32", (1, 32)), ("i64", (1,)), ("f32", (1, 1, 4)),
              ("f32", (1, 1, 4)), ("f32", (1, 12)), ("f32", (1, 16))],
    "qgru": [_STEPS, ("f32", (1, 12, 5)), ("i8", (1, 12, 4)), ("f32", (1, 24)), ("i64", (1,)), ("f32", (1, 1, 4)),
             ("f32", (1, 12))],
    "qrnn": [_STEPS, ("f32", (1, 4, 5)), ("i8", (1, 4, 4)), ("f32", (1, 8)), ("i64", (1,)), ("f32", (1, 1, 4)),
             ("f32", (1, 4))],
    "where": [("bool", (4, 6)), *_MATRIX, *_MATRIX], "matmul": [*_MATRIX, ("*", (6, 3))], "concat": _MATRIX,
    "conv": [_IMAGE, ("*", (3, 2, 2, 2))], "conv_transpose": [_IMAGE, ("*", (2, 3, 2, 2))],
    "max_pool": [_IMAGE], "avg_pool": [_IMAGE], "attention": [("*", (1, 2, 3, 4))] * 3,
    "gather": [*_MATRIX, _INDEX], "gather_elements": [*_MATRIX, _INDEX], "gather_nd": [*_MATRIX, ("i64", (3, 2))],
    "scatter_elements": [*_MATRIX, _INDEX, *_MATRIX], "scatter_nd": [*_MATRIX, ("i64", (3, 2)), ("*", (3,))],
    "lstm": [_STEPS, ("*", (1, 16, 5)), ("*", (1, 16, 4))], "gru": [_STEPS, ("*", (1, 12, 5)), ("*", (1, 12, 4))],
    "rnn": [_STEPS, ("*", (1, 4, 5)), ("*", (1, 4, 4))], "quantize": [("f32", (4, 6)), ("f32", ()), ("*", ())],
    "dequantize": [*_MATRIX, ("f32", ()), ("*", ())], "qconv": [("*", (1, 5, 5, 2)), ("i8", (3, 2, 2, 2))],
    "qmatmul": [*_MATRIX, ("i8", (3, 6))], "qsum_pool": [_IMAGE], "table": [*_MATRIX, ("*", (256,))],
    "qsoftmax": [*_MATRIX, ("u16", (256,))], "qnorm": [*_MATRIX, ("i16", (6,)), ("i16", (6,))],
    "qprelu": [*_MATRIX, ("i16", (6,))], "qresize": [("*", (1, 5, 5, 2))],
    "qattention": [*[("*", (1, 2, 3, 4))] * 3, ("u8", (256,))],
    "dequantize_rows": [*_MATRIX, ("f32", (4, 1)), ("i32", (4, 1)), ("f32", (6,)), ("i32", (6,))],
}  # fmt: skip
# operands that may be unknown when an op is compiled, of those with fewer than all
_UNKNOWN = {"qconv": 1, "qmatmul": 1, "qnorm": 1, "qprelu": 1, "qsoftmax": 1, "qattention": 3, "qlstm": 2,
            "qgru": 2, "qrnn": 2}  # fmt: skip
_ROWS = ("qnorm", "qprelu", "qsoftmax", "qattention")
# ops on quantised values, which are of one kind of bytes on each target
_ONE_BYTE = ("qconv", "qmatmul", "qadd", "qmul", "qsum", "qsum_pool", "qresize", *_ROWS)


@dataclass(frozen=True)
class Kernels:
    """Element types that a core operator takes, and for each target those without a kernel."""

    legal: tuple[str, ...]
    missing: dict[str, tuple[str, ...]]


def kernel_table() -> dict[str, Kernels]:
    """Every core operator, by name."""
    found = {}
    for kind in sorted(OPS):
        legal = tuple(dtype for dtype in DTYPES if sample_graph(kind, dtype) is not None)
        assert legal, f"{kind} needs a sample in kernel_table.py"
        missing = {name: tuple(d for d in legal if not _lowers(kind, d, target)) for name, target in TARGETS.items()}
        found[kind] = Kernels(legal, missing)
    return found


def _operands(kind: str) -> list[Operand]:
    return _OPERANDS.get(kind) or _MATRIX * OPS[kind].arity[0]


def _attributes(kind: str, dtype: str, byte: str) -> Iterator[tuple[str, Any]]:
    yield from _ATTRS.get(kind, {}).items()
    if kind in _ROWS:
        yield "to", dtype
    elif kind in _ONE_BYTE and kind != "qresize":
        yield from {"to": dtype, "lo": 0, "hi": 127}.items()
    if kind == "quantize_rows":
        yield "to", byte
    if kind == "bitcast":
        yield "to", {64: "i64", 32: "i32", 16: "i16", 8: "i8", 4: "i4", 2: "i2"}[bits_of(dtype)]


def sample_graph(kind: str, dtype: str, byte: str = "i8") -> Graph | None:
    """One op over inputs of the type, or None where that is not legal; `byte` is how the target stores bytes."""
    graph = Graph(Module())
    build = Builder(graph)
    types = [Type(dtype if d == "*" else d, shape) for d, shape in _operands(kind)]
    operands = [
        build.const(np.zeros(t.dims, t.numpy)) if i >= _UNKNOWN.get(kind, len(types)) else graph.add_input(f"x{i}", t)
        for i, t in enumerate(types)
    ]
    try:
        results = build.ops(kind, *operands, **dict(_attributes(kind, dtype, byte)))
    except IRError:
        return None
    graph.outputs = [(f"y{i}", v) for i, v in enumerate(results)]
    return graph


def _lowers(kind: str, dtype: str, target: Target) -> bool:
    device = target.choose("")
    graph = sample_graph(kind, dtype, device.isa.byte)
    assert graph is not None
    if kind in _ONE_BYTE and dtype != device.isa.byte:
        return True  # passes/lower_requant.py makes no such op
    run_pipeline(graph.module, CPU_FLOAT)
    try:
        make_plan(graph, device, "probe", 1)
    except UnsupportedError:
        return False
    return True
