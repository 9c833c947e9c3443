"""LSTM, GRU and RNN. MIL's lstm and rnn where they mean the same as ONNX's; else step by step.

MIL's gru adds the hidden bias beside the reset gate, where neither of ONNX's two forms has it. MIL's lstm clips the
cell, where ONNX clips what goes into activations; where its peepholes read is not said. A reversed direction is a
reversed sequence: in which order MIL gives the results of one is not said either.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from edgec.ir.graph import Op
from edgec.ir.ops.recurrent import GATES
from edgec.targets.coreml.emission import Emission, NoRoute, Route, dtype_of
from edgec.targets.coreml.mil import Var
from edgec.targets.coreml.ranks import reshaped

Array = np.ndarray[Any, Any]
MOST_STEPS = 1024
NATIVE = {"Sigmoid": "sigmoid", "Tanh": "tanh", "Relu": "relu"}
MIL_GATES = (0, 2, 1, 3)  # i f o z of ONNX's i o f c


def _thresholded(e: Emission, x: Var) -> Var:
    return e.mil("select", cond=e.mil("greater", x=x, y=e.const(1.0)), a=x, b=e.const(0.0))


def _softplus(e: Emission, x: Var) -> Var:
    below = e.mil("exp", x=e.mil("sub", x=e.const(0.0), y=e.mil("abs", x=x)))
    return e.mil("add", x=e.mil("relu", x=x), y=e.mil("log", x=e.mil("add", x=below, y=e.const(1.0))))


ACTIVATIONS: dict[str, Callable[[Emission, Var], Var]] = {
    "Sigmoid": lambda e, x: e.mil("sigmoid", x=x),
    "Tanh": lambda e, x: e.mil("tanh", x=x),
    "Relu": lambda e, x: e.mil("relu", x=x),
    "LeakyRelu": lambda e, x: e.mil("leaky_relu", x=x, alpha=_parameter(e, 0.01)),
    "ThresholdedRelu": _thresholded,
    "HardSigmoid": lambda e, x: e.mil("sigmoid_hard", x=x, alpha=_parameter(e, 0.2), beta=_parameter(e, 0.5)),
    "Elu": lambda e, x: e.mil("elu", x=x, alpha=_parameter(e, 1.0)),
    "Softsign": lambda e, x: e.mil("softsign", x=x),
    "Softplus": _softplus,
}


def _parameter(e: Emission, number: float) -> Any:
    return e.as_dtype(np.asarray(number), e.float)


@dataclass(frozen=True)
class Direction:
    """Weights of one direction as variables ([gates*n, i], [gates*n, n], [gates*n] twice, [3n]) and its first state."""

    backwards: bool
    w: Var
    r: Var
    wb: Var | None
    rb: Var | None
    peephole: Var | None
    h: Var
    c: Var | None
    activations: tuple[str, ...]


def _part(e: Emission, x: Var, axis: int, start: int, stop: int) -> Var:
    """x[start:stop] of an axis."""
    shape = [int(d) for d in x.shape]
    begin, end = [0] * len(shape), list(shape)
    begin[axis], end[axis] = start, stop
    return x if (start, stop) == (0, shape[axis]) else e.mil("slice_by_index", x=x, begin=begin, end=end)


def _of(e: Emission, op: Op, i: int, k: int) -> Var | None:
    """Entry k of the first axis of operand i, or None where it is absent."""
    value = op.inputs[i] if i < len(op.inputs) else None
    if value is None:
        return None
    known = e.array(op, i)
    if known is not None:
        return e.const(known[k])
    return reshaped(e, _part(e, e.value(value), 0, k, k + 1), value.type.dims[1:])


def _directions(e: Emission, op: Op) -> list[Direction]:
    found = []
    d, b, n = op.results[1].type.dims
    names: tuple[str, ...] = op.attrs["activations"]  # type: ignore[assignment]
    per, gates = len(names) // d, GATES[op.kind]
    zeros = np.zeros((b, n))
    for k in range(d):
        w, r, bias, h, c = (_of(e, op, i, k) for i in (1, 2, 3, 5, 6))
        assert w is not None
        assert r is not None
        wb, rb = (None, None) if bias is None else (
            _part(e, bias, 0, 0, gates * n), _part(e, bias, 0, gates * n, 2 * gates * n)
        )  # fmt: skip
        found.append(
            Direction(
                op.attrs["direction"] == "reverse" or k == 1, w, r, wb, rb, _of(e, op, 7, k),
                e.const(zeros) if h is None else h, (e.const(zeros) if c is None else c) if op.kind == "lstm" else None,
                names[k * per : (k + 1) * per],
            )
        )  # fmt: skip
    return found


# --- one step -------------------------------------------------------------------------------------------------------

Step = Callable[[Emission, Op, Direction, Var, Var, Any], tuple[Var, Any]]


def _limited(e: Emission, op: Op, x: Var) -> Var:
    bound = float(op.attrs["clip"])  # type: ignore[arg-type]
    return x if bound <= 0 else e.mil("minimum", x=e.mil("maximum", x=x, y=e.const(-bound)), y=e.const(bound))


def _plus(e: Emission, x: Var, y: Var | None) -> Var:
    return x if y is None else e.mil("add", x=x, y=y)


def _product(e: Emission, x: Var, weights: Var, bias: Var | None) -> Var:
    return _plus(e, e.mil("matmul", x=x, y=weights, transpose_y=True), bias)


def _lstm_step(e: Emission, op: Op, to: Direction, g: Var, h: Var, c: Any) -> tuple[Var, Any]:
    n = int(h.shape[1])
    f = [ACTIVATIONS[name] for name in to.activations]
    g = e.mil("add", x=g, y=_product(e, h, to.r, to.rb))

    def gate(i: int, cell: Var | None, peephole: int) -> Var:
        x = _part(e, g, 1, i * n, (i + 1) * n)
        if to.peephole is not None and cell is not None:
            x = e.mil("add", x=x, y=e.mil("mul", x=_part(e, to.peephole, 0, peephole * n, (peephole + 1) * n), y=cell))
        return _limited(e, op, x)

    enter = f[0](e, gate(0, c, 0))
    keep = e.mil("sub", x=e.const(1.0), y=enter) if op.attrs["input_forget"] else f[0](e, gate(2, c, 2))
    new = f[1](e, gate(3, None, 0))
    c = e.mil("add", x=e.mil("mul", x=keep, y=c), y=e.mil("mul", x=enter, y=new))
    return e.mil("mul", x=f[0](e, gate(1, c, 1)), y=f[2](e, c)), c


def _gru_step(e: Emission, op: Op, to: Direction, g: Var, h: Var, c: Any) -> tuple[Var, Any]:
    n = int(h.shape[1])
    f = [ACTIVATIONS[name] for name in to.activations]
    rb = [None, None] if to.rb is None else [_part(e, to.rb, 0, 0, 2 * n), _part(e, to.rb, 0, 2 * n, 3 * n)]
    gates, hidden = _part(e, to.r, 0, 0, 2 * n), _part(e, to.r, 0, 2 * n, 3 * n)
    zr = e.mil("add", x=_part(e, g, 1, 0, 2 * n), y=_product(e, h, gates, rb[0]))
    zr = f[0](e, _limited(e, op, zr))
    z, reset = _part(e, zr, 1, 0, n), _part(e, zr, 1, n, 2 * n)
    if op.attrs["linear_before_reset"]:
        inner = e.mil("mul", x=reset, y=_product(e, h, hidden, rb[1]))
    else:
        inner = _product(e, e.mil("mul", x=reset, y=h), hidden, rb[1])
    new = f[1](e, _limited(e, op, e.mil("add", x=_part(e, g, 1, 2 * n, 3 * n), y=inner)))
    fresh = e.mil("mul", x=e.mil("sub", x=e.const(1.0), y=z), y=new)
    return e.mil("add", x=fresh, y=e.mil("mul", x=z, y=h)), c


def _rnn_step(e: Emission, op: Op, to: Direction, g: Var, h: Var, c: Any) -> tuple[Var, Any]:
    x = _limited(e, op, e.mil("add", x=g, y=_product(e, h, to.r, to.rb)))
    return ACTIVATIONS[to.activations[0]](e, x), c


# --- all steps ------------------------------------------------------------------------------------------------------


def _unrolled(e: Emission, op: Op, to: Direction, step: Step, alive: list[Var | None]) -> tuple[Var, Var, Any]:
    """Results of every step, [t, b, n], and the last states. `alive`: where a sequence is not over, or None for all."""
    x = e.operand(op, 0)
    t, b, _ = op.arg(0).type.dims
    products = _product(e, x, to.w, to.wb)
    made: list[Any] = [None] * t
    h, c = to.h, to.c
    for at in reversed(range(t)) if to.backwards else range(t):
        g = reshaped(e, _part(e, products, 0, at, at + 1), (b, int(products.shape[2])))
        new, cell = step(e, op, to, g, h, c)
        here = alive[at]
        made[at] = new if here is None else e.mil("select", cond=here, a=new, b=e.const(0.0))
        h = new if here is None else e.mil("select", cond=here, a=new, b=h)
        c = cell if here is None or cell is None else e.mil("select", cond=here, a=cell, b=c)
    return e.mil("stack", values=made, axis=0), h, c


def _alive(e: Emission, op: Op) -> list[Var | None]:
    t, b, _ = op.arg(0).type.dims
    lengths = op.inputs[4] if len(op.inputs) > 4 else None
    if lengths is None:
        return [None] * t
    known = e.array(op, 4)
    if known is not None:
        return [None if np.all(known > at) else e.const((known > at).reshape(b, 1)) for at in range(t)]
    ends = reshaped(e, e.value(lengths), (b, 1))
    return [e.mil("greater", x=ends, y=e.const(at)) for at in range(t)]


def _native(e: Emission, op: Op, to: Direction) -> tuple[Var, Var, Any]:
    """MIL's lstm or rnn, forwards over the sequence or over the reversed one."""
    x = e.operand(op, 0)
    x = e.mil("reverse", x=x, axes=[0]) if to.backwards else x
    n = int(to.r.shape[1])
    order = MIL_GATES if op.kind == "lstm" else (0,)

    def sorted_gates(array: Array) -> Array:
        return e.as_dtype(np.concatenate([array[g * n : (g + 1) * n] for g in order]), dtype_of(x))

    k = 1 if to.backwards and op.attrs["direction"] == "bidirectional" else 0
    arrays = [e.array(op, i) for i in (1, 2, 3)]
    w, r, both = (None if a is None else a[k] for a in arrays)
    assert w is not None
    assert r is not None
    bias = None if both is None else sorted_gates(both[: both.size // 2] + both[both.size // 2 :])
    given: dict[str, Any] = {
        "x": x, "initial_h": to.h, "weight_ih": sorted_gates(w), "weight_hh": sorted_gates(r), "bias": bias,
        "direction": "forward", "output_sequence": True,
    }  # fmt: skip
    names = [NATIVE[name] for name in to.activations]
    if op.kind == "lstm":
        f, g, h = names
        y, last, cell = e.mil(
            "lstm", **given, initial_c=to.c, recurrent_activation=f, cell_activation=g, activation=h
        )  # fmt: skip
    else:
        (y, last), cell = e.mil("rnn", **given, activation=names[0]), None
    return e.mil("reverse", x=y, axes=[0]) if to.backwards else y, last, cell


def _is_native(e: Emission, op: Op) -> bool:
    a = op.attrs
    names: tuple[str, ...] = a["activations"]  # type: ignore[assignment]
    known = [e.array(op, i) is not None or op.inputs[i] is None for i in (1, 2, 3) if i < len(op.inputs)]
    lengths = e.array(op, 4)
    whole = len(op.inputs) <= 4 or op.inputs[4] is None or (
        lengths is not None and bool(np.all(lengths >= op.arg(0).type.dims[0]))
    )  # fmt: skip
    plain = a["clip"] == 0 and not a.get("input_forget") and not (len(op.inputs) > 7 and op.inputs[7] is not None)
    return op.kind != "gru" and all(known) and whole and plain and all(name in NATIVE for name in names)


def _route(step: Step) -> Route:
    def route(e: Emission, op: Op) -> list[Var]:
        native = _is_native(e, op)
        steps = op.arg(0).type.dims[0]
        if not native and steps > MOST_STEPS:
            raise NoRoute(f"takes {steps} steps one by one, and at most {MOST_STEPS} are written out")
        if native and e.deployment.number < 17:
            e.float = "f32"  # halves came later
        alive = [] if native else _alive(e, op)
        runs = [
            _native(e, op, to) if native else _unrolled(e, op, to, step, alive) for to in _directions(e, op)
        ]  # fmt: skip
        y = e.mil("stack", values=[run[0] for run in runs], axis=1)
        last = e.mil("stack", values=[run[1] for run in runs], axis=0)
        if op.kind != "lstm":
            return [y, last]
        return [y, last, e.mil("stack", values=[run[2] for run in runs], axis=0)]

    return route


ROUTES: dict[str, Route] = {"lstm": _route(_lstm_step), "gru": _route(_gru_step), "rnn": _route(_rnn_step)}
