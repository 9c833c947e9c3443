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
from edgec.targets.coreml.routes.shape import joined

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
    """One direction: weights [gates*n, i] and [gates*n, n] with their biases, peepholes, the first states [b, n]. What
    is constant is an array, the rest variables."""

    backwards: bool
    w: Any
    r: Any
    wb: Any
    rb: Any
    peephole: Any
    h: Any
    c: Any
    activations: tuple[str, ...]


def _part(e: Emission, x: Any, axis: int, start: int, stop: int) -> Any:
    """x[start:stop] of an axis."""
    begin, end = [0] * len(x.shape), [int(d) for d in x.shape]
    if (start, stop) == (0, end[axis]):
        return x
    begin[axis], end[axis] = start, stop
    if isinstance(x, np.ndarray):
        return x[tuple(slice(a, b) for a, b in zip(begin, end, strict=True))]
    return e.mil("slice_by_index", x=x, begin=begin, end=end)


def _split(e: Emission, x: Var, sizes: list[int], axis: int) -> list[Var]:
    if len(sizes) == 1:
        return [x]
    return list(e.mil("split", x=x, split_sizes=sizes, axis=axis))


def _of(e: Emission, op: Op, i: int, k: int) -> Any:
    """Entry k of the first axis of operand i, or None where it is absent."""
    value = op.inputs[i] if i < len(op.inputs) else None
    if value is None:
        return None
    known = e.array(op, i)
    if known is not None:
        return known[k].astype(np.float32)
    return reshaped(e, _part(e, e.value(value), 0, k, k + 1), value.type.dims[1:])


def _directions(e: Emission, op: Op) -> list[Direction]:
    found = []
    d, b, n = op.results[1].type.dims
    names: tuple[str, ...] = op.attrs["activations"]  # type: ignore[assignment]
    per, gates = len(names) // d, GATES[op.kind]
    for k in range(d):
        w, r, bias, h, c = (_of(e, op, i, k) for i in (1, 2, 3, 5, 6))
        bias = np.zeros(2 * gates * n) if bias is None else bias
        h, c = (np.zeros((b, n)) if state is None else state for state in (h, c))
        found.append(
            Direction(
                op.attrs["direction"] == "reverse" or k == 1, w, r, _part(e, bias, 0, 0, gates * n),
                _part(e, bias, 0, gates * n, 2 * gates * n), _of(e, op, 7, k), h, c, names[k * per : (k + 1) * per],
            )
        )  # fmt: skip
    return found


def _var(e: Emission, x: Any) -> Var:
    return e.const(x) if isinstance(x, np.ndarray) else x


def _sum(e: Emission, x: Any, y: Any) -> Any:
    if isinstance(x, np.ndarray) and isinstance(y, np.ndarray):
        return x + y
    return e.mil("add", x=_var(e, x), y=_var(e, y))


# --- one step, of [1, b, n] -----------------------------------------------------------------------------------------

# of what the step's input makes, h and c: the new h and c
Step = Callable[[Var, Var, Any], tuple[Var, Any]]


def _limited(e: Emission, op: Op, x: Var) -> Var:
    bound = float(op.attrs["clip"])  # type: ignore[arg-type]
    return x if bound <= 0 else e.mil("minimum", x=e.mil("maximum", x=x, y=e.const(-bound)), y=e.const(bound))


def _product(e: Emission, x: Var, weights: Var) -> Var:
    return e.mil("matmul", x=x, y=weights, transpose_y=True)


def _plus(e: Emission, x: Var, bias: Any) -> Var:
    return x if isinstance(bias, np.ndarray) and not np.any(bias) else e.mil("add", x=x, y=_var(e, bias))


def _lstm(e: Emission, op: Op, to: Direction) -> tuple[Any, Step]:
    """The bias of the products with the input, and a step behind these."""
    n = int(to.r.shape[1])
    f = [ACTIVATIONS[name] for name in to.activations]
    r = _var(e, to.r)
    peepholes = [] if to.peephole is None else [
        _var(e, _part(e, to.peephole, 0, i * n, (i + 1) * n)) for i in range(3)
    ]  # fmt: skip
    one = e.const(1.0)

    def step(g: Var, h: Var, c: Any) -> tuple[Var, Any]:
        enter, leave, forget, new = _split(e, e.mil("add", x=g, y=_product(e, h, r)), [n] * 4, axis=2)

        def gate(x: Var, cell: Var, i: int) -> Var:
            if peepholes:
                x = e.mil("add", x=x, y=e.mil("mul", x=peepholes[i], y=cell))
            return f[0](e, _limited(e, op, x))

        enter = gate(enter, c, 0)
        keep = e.mil("sub", x=one, y=enter) if op.attrs["input_forget"] else gate(forget, c, 2)
        fresh = e.mil("mul", x=enter, y=f[1](e, _limited(e, op, new)))
        c = e.mil("add", x=e.mil("mul", x=keep, y=c), y=fresh)
        return e.mil("mul", x=gate(leave, c, 1), y=f[2](e, c)), c

    return _sum(e, to.wb, to.rb), step


def _gru(e: Emission, op: Op, to: Direction) -> tuple[Any, Step]:
    n = int(to.r.shape[1])
    f = [ACTIVATIONS[name] for name in to.activations]
    after = bool(op.attrs["linear_before_reset"])
    gates = _sum(e, _part(e, to.wb, 0, 0, 2 * n), _part(e, to.rb, 0, 0, 2 * n))
    own, inner = _part(e, to.wb, 0, 2 * n, 3 * n), _part(e, to.rb, 0, 2 * n, 3 * n)
    own = own if after else _sum(e, own, inner)
    both = isinstance(gates, np.ndarray) and isinstance(own, np.ndarray)
    bias = np.concatenate([gates, own]) if both else e.mil("concat", values=[_var(e, gates), _var(e, own)], axis=0)
    r = _var(e, to.r) if after else _var(e, _part(e, to.r, 0, 0, 2 * n))
    hidden = None if after else _var(e, _part(e, to.r, 0, 2 * n, 3 * n))
    one = e.const(1.0)

    def step(g: Var, h: Var, c: Any) -> tuple[Var, Any]:
        of_input, new = _split(e, g, [2 * n, n], axis=2)
        parts = _split(e, _product(e, h, r), [2 * n, n] if after else [2 * n], axis=2)
        z, reset = _split(e, f[0](e, _limited(e, op, e.mil("add", x=of_input, y=parts[0]))), [n, n], axis=2)
        if hidden is None:
            past = e.mil("mul", x=reset, y=_plus(e, parts[1], inner))
        else:
            past = _product(e, e.mil("mul", x=reset, y=h), hidden)
        new = f[1](e, _limited(e, op, e.mil("add", x=new, y=past)))
        fresh = e.mil("mul", x=e.mil("sub", x=one, y=z), y=new)
        return e.mil("add", x=fresh, y=e.mil("mul", x=z, y=h)), c

    return bias, step


def _rnn(e: Emission, op: Op, to: Direction) -> tuple[Any, Step]:
    f, r = ACTIVATIONS[to.activations[0]], _var(e, to.r)

    def step(g: Var, h: Var, c: Any) -> tuple[Var, Any]:
        return f(e, _limited(e, op, e.mil("add", x=g, y=_product(e, h, r)))), c

    return _sum(e, to.wb, to.rb), step


STEPS = {"lstm": _lstm, "gru": _gru, "rnn": _rnn}

# --- all steps ------------------------------------------------------------------------------------------------------


def _unrolled(e: Emission, op: Op, to: Direction, alive: list[Var | None]) -> tuple[Var, Var, Var]:
    """Results of every step, [t, b, n], and the last states. `alive`: where a sequence is not over, or None for all."""
    t, b, _ = op.arg(0).type.dims
    shape = (1, b, int(to.r.shape[1]))
    bias, step = STEPS[op.kind](e, op, to)
    parts = _split(e, _plus(e, _product(e, e.operand(op, 0), _var(e, to.w)), bias), [1] * t, axis=0)
    made: list[Any] = [None] * t
    h, c = (reshaped(e, _var(e, state), shape) for state in (to.h, to.c))
    for at in reversed(range(t)) if to.backwards else range(t):
        new, cell = step(parts[at], h, c)
        here = alive[at]
        if here is None:
            made[at], h, c = new, new, cell
        else:
            made[at] = e.mil("select", cond=here, a=new, b=e.const(0.0))
            h, c = (e.mil("select", cond=here, a=a, b=b) for a, b in ((new, h), (cell, c)))
    if alive and alive[0] is not None:  # without a step, the last state is zeros
        h, c = (e.mil("select", cond=alive[0], a=last, b=e.const(0.0)) for last in (h, c))
    return joined(e, made, axis=0), reshaped(e, h, shape[1:]), reshaped(e, c, shape[1:])


def _alive(e: Emission, op: Op) -> list[Var | None]:
    t, b, _ = op.arg(0).type.dims
    lengths = op.inputs[4] if len(op.inputs) > 4 else None
    if lengths is None:
        return [None] * t
    known = e.array(op, 4)
    if known is not None:
        return [None if np.all(known > at) else e.const((known > at).reshape(1, b, 1)) for at in range(t)]
    ends = reshaped(e, e.value(lengths), (1, b, 1))
    return [e.mil("greater", x=ends, y=e.const(at)) for at in range(t)]


def _native(e: Emission, op: Op, to: Direction) -> tuple[Var, Var, Any]:
    """MIL's lstm or rnn, forwards over the sequence or over the reversed one."""
    x = e.operand(op, 0)
    x = e.mil("reverse", x=x, axes=[0]) if to.backwards else x
    n = int(to.r.shape[1])
    order = MIL_GATES if op.kind == "lstm" else (0,)

    def sorted_gates(array: Array) -> Array:
        return e.as_dtype(np.concatenate([array[g * n : (g + 1) * n] for g in order]), dtype_of(x))

    given: dict[str, Any] = {
        "x": x, "initial_h": _var(e, to.h), "weight_ih": sorted_gates(to.w), "weight_hh": sorted_gates(to.r),
        "bias": sorted_gates(to.wb + to.rb), "direction": "forward", "output_sequence": True,
    }  # fmt: skip
    names = [NATIVE[name] for name in to.activations]
    if op.kind == "lstm":
        given |= {"initial_c": _var(e, to.c), "recurrent_activation": names[0], "cell_activation": names[1]}
        y, last, cell = e.mil("lstm", **given, activation=names[2])
    else:
        (y, last), cell = e.mil("rnn", **given, activation=names[0]), None
    return e.mil("reverse", x=y, axes=[0]) if to.backwards else y, last, cell


def _is_native(e: Emission, op: Op) -> bool:
    a = op.attrs
    names: tuple[str, ...] = a["activations"]  # type: ignore[assignment]
    given = [*op.inputs, *[None] * (8 - len(op.inputs))]
    known = all(given[i] is None or e.array(op, i) is not None for i in (1, 2, 3))
    lengths = e.array(op, 4)
    whole = given[4] is None or (lengths is not None and bool(np.all(lengths >= op.arg(0).type.dims[0])))
    plain = a["clip"] == 0 and not a.get("input_forget") and given[7] is None
    return op.kind != "gru" and known and whole and plain and all(name in NATIVE for name in names)


def _recurrent(e: Emission, op: Op) -> list[Var]:
    native, steps = _is_native(e, op), op.arg(0).type.dims[0]
    if not native and steps > MOST_STEPS:
        raise NoRoute(f"takes {steps} steps one by one, and at most {MOST_STEPS} are written out")
    if native and e.deployment.number < 17:
        e.float = "f32"  # halves came later
    alive = [] if native else _alive(e, op)
    runs = [_native(e, op, to) if native else _unrolled(e, op, to, alive) for to in _directions(e, op)]
    y = e.mil("stack", values=[run[0] for run in runs], axis=1)
    last = e.mil("stack", values=[run[1] for run in runs], axis=0)
    return [y, last] if op.kind != "lstm" else [y, last, e.mil("stack", values=[run[2] for run in runs], axis=0)]


ROUTES: dict[str, Route] = dict.fromkeys(STEPS, _recurrent)
