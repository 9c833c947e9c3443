"""LSTM, GRU and RNN over a sequence, with ONNX's gate orders (iofc, zrh) and lengths per batch entry.

Operand 1, the input's weights W, may be left out: operand 0 then is the input's part of the gates, x W^T of every
direction beside each other, [t, b, directions * gates * h].

Where operand 2, the state's weights R, are integers, operand 8 has their scales, a number a gate unit, and the state
becomes bytes at each step, with a scale for each batch entry or (`together`) one for all entries that go on.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from edgec.ir.errors import IRError
from edgec.ir.ops.dynamic import rows_as_bytes
from edgec.ir.ops.elementwise import operand
from edgec.ir.ops.row import REQUIRED, OpRow
from edgec.ir.types import FLOATS, Type

Array = np.ndarray[Any, Any]
Product = Callable[[Array, int, int], Array]  # of states [b, h] by R's gate units from one to another
Step = Callable[..., tuple[Array, ...]]

STATE_SCALES = 8  # the operand
MOST_STATE_WEIGHT = 255  # a byte less a zero point
MOST_UNITS = 1 << 15  # products in a sum: they fit 32 bits
GATES = {"lstm": 4, "gru": 3, "rnn": 1}
STATE_OPERANDS = {"lstm": 8, "gru": 6, "rnn": 6}  # operands in front of the scales
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
        on_bytes = r.dtype in ("i8", "i16")
        for at, (type, shape) in enumerate(zip(types, wanted, strict=False)):
            free = at == 4 or (at == 2 and on_bytes)
            if type is not None and (type.dims != shape or (not free and type.dtype != x.dtype)):
                raise IRError(f"{kind}: operand {at} is {type} and must be {x.dtype}{list(shape)}")
        if any(type is not None for type in types[STATE_OPERANDS[kind] : STATE_SCALES]):
            raise IRError(f"{kind} takes no cell and no peepholes")
        scales = types[STATE_SCALES] if len(types) > STATE_SCALES else None
        if scales != (Type("f32", (d, gates * h)) if on_bytes else None):
            raise IRError(f"{kind} of {r} has scales {scales}; integers, and only they, need f32{[d, gates * h]}")
        if on_bytes and (x.dtype != "f32" or h > MOST_UNITS):
            raise IRError(f"{kind} of bytes takes f32 and at most {MOST_UNITS} units, not {x} and {h}")
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
    g: Array, h: Array, c: Array, by_r: Product, rb: Array, p: Array, f: Sequence[Any], a: Any
) -> tuple[Array, ...]:
    n = h.shape[1]
    limit = _clipper(a)
    g = g + by_r(h, 0, 4 * n) + rb
    pi, po, pf = p[:n], p[n : 2 * n], p[2 * n :]
    i = f[0](limit(g[:, :n] + pi * c))
    forget = 1 - i if a["input_forget"] else f[0](limit(g[:, 2 * n : 3 * n] + pf * c))
    c = forget * c + i * f[1](limit(g[:, 3 * n :]))
    o = f[0](limit(g[:, n : 2 * n] + po * c))
    return o * f[2](c), c


def _gru_step(
    g: Array, h: Array, c: Array, by_r: Product, rb: Array, p: Array, f: Sequence[Any], a: Any
) -> tuple[Array, ...]:
    n = h.shape[1]
    limit = _clipper(a)
    zr = f[0](limit(g[:, : 2 * n] + by_r(h, 0, 2 * n) + rb[: 2 * n]))
    z, reset = zr[:, :n], zr[:, n:]
    if a["linear_before_reset"]:
        inner = reset * (by_r(h, 2 * n, 3 * n) + rb[2 * n :])
    else:
        inner = by_r(reset * h, 2 * n, 3 * n) + rb[2 * n :]
    return (1 - z) * f[1](limit(g[:, 2 * n :] + inner)) + z * h, c


def _rnn_step(
    g: Array, h: Array, c: Array, by_r: Product, rb: Array, p: Array, f: Sequence[Any], a: Any
) -> tuple[Array, ...]:
    return f[0](_clipper(a)(g + by_r(h, 0, h.shape[1]) + rb)), c


def _clipper(a: Any) -> Callable[[Array], Array]:
    bound = a["clip"]
    return (lambda x: np.clip(x, -bound, bound)) if bound > 0 else (lambda x: x)


def _product(r: Array) -> Product:
    return lambda h, first, end: h @ r[first:end].T


def _product_of_bytes(r: Array, by: Array, together: bool) -> Product:
    """Exact sums of products, less what zero points add, times both scales."""
    wide = r.astype(np.float64)  # holds all sums

    def product(h: Array, first: int, end: int) -> Array:
        narrow, scale, zero = rows_as_bytes(h.reshape(1, -1) if together else h, "u8")
        exact = (narrow.astype(np.float64) - zero).reshape(h.shape) @ wide[first:end].T
        return np.asarray(exact.astype(np.float32) * (scale * by[first:end]))

    return product


def _evaluate(kind: str, step: Step) -> Callable[[Sequence[Any], Any], list[Array]]:
    gates = GATES[kind]

    def evaluate(v: Sequence[Any], a: Any) -> list[Array]:
        narrow = v[0].dtype
        full = list(v) + [None] * (9 - len(v))
        on_bytes = full[STATE_SCALES] is not None
        kept = (2, 4) if on_bytes else (4,)
        wide = [
            x if x is None or i in kept or x.dtype.itemsize > 2 else x.astype(np.float32) for i, x in enumerate(full)
        ]
        x, w, r, bias, lens, h0, c0, peephole, by = wide
        t, b, _ = x.shape
        d, each, n = r.shape
        ends, entries = np.full(b, t) if lens is None else np.minimum(lens, t), np.arange(b)
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
            by_r = _product_of_bytes(r[k], by[k], a["together"]) if on_bytes else _product(r[k])
            for count in range(t):
                goes_on = count < ends
                alive = goes_on[:, None]
                at = np.where(goes_on & backwards, ends - 1 - count, count)  # each entry begins at its own end
                row = x[at, entries]
                with np.errstate(all="ignore"):
                    g = (row @ w[k].T if w is not None else row[:, k * each : (k + 1) * each]) + wb
                    h2, c2 = step(g, np.where(alive, h, 0), c, by_r, rb, p, f, a)
                h, c = np.where(alive, h2, h), np.where(alive, c2, c)
                ys[at, k, entries] = np.where(alive, h2, 0)
            hs[k], cs[k] = h, c
        return [y.astype(narrow, copy=False) for y in ([ys, hs, cs] if kind == "lstm" else [ys, hs])]

    return evaluate


_ATTRS: dict[str, Any] = {"direction": "forward", "activations": REQUIRED, "clip": 0.0, "together": False}

ROWS: list[OpRow] = [
    OpRow(
        "lstm", "recurrent", (3, 9), _infer("lstm"), _evaluate("lstm", _lstm_step), {**_ATTRS, "input_forget": False}
    ),
    OpRow(
        "gru", "recurrent", (3, 9), _infer("gru"), _evaluate("gru", _gru_step), {**_ATTRS, "linear_before_reset": False}
    ),
    OpRow("rnn", "recurrent", (3, 9), _infer("rnn"), _evaluate("rnn", _rnn_step), _ATTRS),
]
