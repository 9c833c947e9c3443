"""LSTM, GRU and RNN over a sequence, with ONNX's gate orders (iofc, zrh) and lengths per batch entry.

Operand 1, the input's weights W, may be left out: operand 0 then is the input's part of the gates, x W^T of every
direction beside each other, [t, b, directions * gates * h].
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from edgec.ir.errors import IRError
from edgec.ir.ops.operands import operand
from edgec.ir.ops.row import REQUIRED, OpRow
from edgec.ir.types import FLOATS, Type

Array = np.ndarray[Any, Any]
Step = Callable[..., tuple[Array, ...]]

GATES = {"lstm": 4, "gru": 3, "rnn": 1}
ACTIVATIONS: dict[str, Callable[[Any], Any]] = {
    "Sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "Tanh": np.tanh,
    "Relu": lambda x: np.maximum(x, 0),
    "LeakyRelu": lambda x: np.where(x < 0, 0.01 * x, x),
    "ThresholdedRelu": lambda x: np.where(x > 1, x, 0),
    "HardSigmoid": lambda x: np.clip(0.2 * x + 0.5, 0, 1),
    "Elu": lambda x: np.where(x < 0, np.expm1(x), x),
    "Softsign": lambda x: x / (1 + np.abs(x)),
    "Softplus": lambda x: np.logaddexp(x, 0),
}


def _infer(kind: str) -> Callable[[Sequence[Type | None], Any], list[Type]]:
    gates, per_direction = GATES[kind], {"lstm": 3, "gru": 2, "rnn": 1}[kind]

    def infer(types: Sequence[Type | None], a: Any) -> list[Type]:
        x, r = operand(types, 0, kind), operand(types, 2, kind)
        if a["direction"] not in ("forward", "reverse", "bidirectional"):
            raise IRError(f"{kind} has no direction {a['direction']!r}; legal: forward, reverse, bidirectional")
        d = 2 if a["direction"] == "bidirectional" else 1
        if x.rank != 3 or r.rank != 3:
            raise IRError(f"{kind}: {x} and {r} must have three axes")
        t, b, i = x.dims
        h = r.dims[2]
        if types[1] is None and i != d * gates * h:
            raise IRError(f"{kind}: the last axis of {x} must have {d} * {gates * h} units where W is left out")
        wanted: list[tuple[int, ...]] = [
            (t, b, i), (d, gates * h, i), (d, gates * h, h), (d, 2 * gates * h), (b,), (d, b, h), (d, b, h), (d, 3 * h),
        ]  # fmt: skip
        for at, (type, shape) in enumerate(zip(types, wanted, strict=False)):
            if type is not None and (type.dims != shape or (at != 4 and type.dtype != x.dtype)):
                raise IRError(f"{kind}: operand {at} is {type} and must be {x.dtype}{list(shape)}")
        if x.dtype not in FLOATS:
            raise IRError(f"{kind} does not take {x.dtype}")
        lens = types[4] if len(types) > 4 else None
        if lens is not None and lens.dtype not in ("i32", "i64"):
            raise IRError(f"{kind}: the lengths are {lens}, and i32 or i64 is needed")
        names = a["activations"]
        if len(names) != d * per_direction or not set(names) <= set(ACTIVATIONS):
            raise IRError(f"{kind}: activations {names} are not {d * per_direction} of {', '.join(ACTIVATIONS)}")
        last = Type(x.dtype, (d, b, h))
        return [Type(x.dtype, (t, d, b, h)), *[last] * (2 if kind == "lstm" else 1)]

    return infer


def _lstm_step(
    g: Array, h: Array, c: Array, r: Array, rb: Array, p: Array, f: Sequence[Any], a: Any
) -> tuple[Array, ...]:
    n = h.shape[1]
    limit = _clipper(a)
    g = g + h @ r.T + rb
    pi, po, pf = p[:n], p[n : 2 * n], p[2 * n :]
    i = f[0](limit(g[:, :n] + pi * c))
    forget = 1 - i if a["input_forget"] else f[0](limit(g[:, 2 * n : 3 * n] + pf * c))
    c = forget * c + i * f[1](limit(g[:, 3 * n :]))
    o = f[0](limit(g[:, n : 2 * n] + po * c))
    return o * f[2](c), c


def _gru_step(
    g: Array, h: Array, c: Array, r: Array, rb: Array, p: Array, f: Sequence[Any], a: Any
) -> tuple[Array, ...]:
    n = h.shape[1]
    limit = _clipper(a)
    zr = f[0](limit(g[:, : 2 * n] + h @ r[: 2 * n].T + rb[: 2 * n]))
    z, reset = zr[:, :n], zr[:, n:]
    inner = (
        reset * (h @ r[2 * n :].T + rb[2 * n :]) if a["linear_before_reset"] else reset * h @ r[2 * n :].T + rb[2 * n :]
    )
    return (1 - z) * f[1](limit(g[:, 2 * n :] + inner)) + z * h, c


def _rnn_step(
    g: Array, h: Array, c: Array, r: Array, rb: Array, p: Array, f: Sequence[Any], a: Any
) -> tuple[Array, ...]:
    return f[0](_clipper(a)(g + h @ r.T + rb)), c


def _clipper(a: Any) -> Callable[[Array], Array]:
    bound = a["clip"]
    return (lambda x: np.clip(x, -bound, bound)) if bound > 0 else (lambda x: x)


def _evaluate(kind: str, step: Step) -> Callable[[Sequence[Any], Any], list[Array]]:
    gates = GATES[kind]

    def evaluate(v: Sequence[Any], a: Any) -> list[Array]:
        narrow = v[0].dtype
        full = list(v) + [None] * (8 - len(v))
        wide = [x if x is None or i == 4 or x.dtype.itemsize > 2 else x.astype(np.float32) for i, x in enumerate(full)]
        x, w, r, bias, lens, h0, c0, peephole = wide
        t, b, _ = x.shape
        d, each, n = r.shape
        ends = np.full(b, t) if lens is None else lens
        ys = np.zeros((t, d, b, n), x.dtype)
        hs, cs = np.zeros((d, b, n), x.dtype), np.zeros((d, b, n), x.dtype)
        per = len(a["activations"]) // d
        for k in range(d):
            f = [ACTIVATIONS[name] for name in a["activations"][k * per : (k + 1) * per]]
            wb, rb = (
                (bias[k, : gates * n], bias[k, gates * n :]) if bias is not None else (np.zeros(1), np.zeros(gates * n))
            )
            h = h0[k] if h0 is not None else hs[k]
            c = c0[k] if c0 is not None else cs[k]
            p = peephole[k] if peephole is not None else np.zeros(3 * n, x.dtype)
            backwards = a["direction"] == "reverse" or k == 1
            for at in reversed(range(t)) if backwards else range(t):
                alive = (at < ends)[:, None]
                with np.errstate(all="ignore"):
                    g = (x[at] @ w[k].T if w is not None else x[at][:, k * each : (k + 1) * each]) + wb
                    h2, c2 = step(g, h, c, r[k], rb, p, f, a)
                h, c = np.where(alive, h2, h), np.where(alive, c2, c)
                ys[at, k] = np.where(alive, h2, 0)
            hs[k], cs[k] = h, c
        return [y.astype(narrow, copy=False) for y in ([ys, hs, cs] if kind == "lstm" else [ys, hs])]

    return evaluate


_ATTRS: dict[str, Any] = {"direction": "forward", "activations": REQUIRED, "clip": 0.0}

ROWS: list[OpRow] = [
    OpRow(
        "lstm", "recurrent", (3, 8), _infer("lstm"), _evaluate("lstm", _lstm_step), {**_ATTRS, "input_forget": False}
    ),
    OpRow(
        "gru", "recurrent", (3, 6), _infer("gru"), _evaluate("gru", _gru_step), {**_ATTRS, "linear_before_reset": False}
    ),
    OpRow("rnn", "recurrent", (3, 6), _infer("rnn"), _evaluate("rnn", _rnn_step), _ATTRS),
]
