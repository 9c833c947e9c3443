"""LSTM, GRU and RNN over a sequence, with ONNX's gate orders (iofc, zrh) and lengths per batch entry.

Operand 1, the input's weights W, may be left out: operand 0 then is the input's part of the gates, x W^T of every
direction beside each other, [t, b, directions * gates * h]. The last state of an entry of length 0 is zeros, whatever
its first one is, as onnxruntime has it.

In qlstm, qgru and qrnn operand 2, the state's weights R, are integers, the last operand has the scale of each gate
unit, and products with the state are those of bytes: at each step, a state becomes bytes with a scale of its own, or
(`together`) with one for all states that the step before made.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from edgec.ir.errors import IRError
from edgec.ir.ops.dynamic import rows_as_bytes
from edgec.ir.ops.operands import operand
from edgec.ir.ops.row import REQUIRED, OpRow
from edgec.ir.types import FLOATS, Type

Array = np.ndarray[Any, Any]
Product = Callable[[Array, int, int], Array]  # of states [b, h] by R's gate units from one to another
Step = Callable[..., tuple[Array, ...]]

MOST_UNITS = 1 << 15  # products of 255 by 255 in a sum: they fit 32 bits
GATES = {"lstm": 4, "gru": 3, "rnn": 1}
BYTE_GATES = {f"q{kind}": gates for kind, gates in GATES.items()}  # of those whose state becomes bytes
SCALES = {"qlstm": 8, "qgru": 6, "qrnn": 6}  # the operand with the scales
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
    on_bytes = kind in BYTE_GATES
    gates = (GATES | BYTE_GATES)[kind]
    per_direction = {4: 3, 3: 2, 1: 1}[gates]

    def check_bytes(types: Sequence[Type | None], x: Type, r: Type, units: tuple[int, int]) -> None:
        scales = operand(types, SCALES[kind], kind)
        if r.dtype not in ("i8", "i16") or scales != Type("f32", units):
            raise IRError(f"{kind}: R {r} and its scales {scales} must be i8 or i16, and f32{list(units)}")
        if x.dtype != "f32" or r.dims[2] > MOST_UNITS:
            raise IRError(f"{kind} takes f32 and at most {MOST_UNITS} units, not {x} and {r.dims[2]}")

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
        if on_bytes:
            check_bytes(types, x, r, (d, gates * h))
            types = types[: SCALES[kind]]
        for at, (type, shape) in enumerate(zip(types, wanted, strict=False)):
            free = at == 4 or (at == 2 and on_bytes)
            if type is not None and (type.dims != shape or (not free and type.dtype != x.dtype)):
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
        return [Type(x.dtype, (t, d, b, h)), *[last] * (2 if gates == 4 else 1)]

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
    gates, on_bytes = (GATES | BYTE_GATES)[kind], kind in BYTE_GATES

    def evaluate(v: Sequence[Any], a: Any) -> list[Array]:
        narrow = v[0].dtype
        given, by = (v[:-1], v[-1]) if on_bytes else (v, None)
        full = list(given) + [None] * (8 - len(given))
        kept = (2, 4) if on_bytes else (4,)
        wide = [
            x if x is None or i in kept or x.dtype.itemsize > 2 else x.astype(np.float32) for i, x in enumerate(full)
        ]
        x, w, r, bias, lens, h0, c0, peephole = wide
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
            by_r = _product_of_bytes(r[k], by[k], a["together"]) if by is not None else _product(r[k])
            for count in range(t):
                alive = (count < ends)[:, None]
                at = np.where(alive[:, 0] & backwards, ends - 1 - count, count)  # each entry begins at its own end
                row = x[at, entries]
                with np.errstate(all="ignore"):
                    g = (row @ w[k].T if w is not None else row[:, k * each : (k + 1) * each]) + wb
                    h2, c2 = step(g, np.where((count <= ends)[:, None], h, 0), c, by_r, rb, p, f, a)
                h, c = np.where(alive, h2, h), np.where(alive, c2, c)
                ys[at, k, entries] = np.where(alive, h2, 0)
            hs[k], cs[k] = (np.where((ends > 0)[:, None], last, 0) for last in (h, c))
        return [y.astype(narrow, copy=False) for y in ([ys, hs, cs] if gates == 4 else [ys, hs])]

    return evaluate


_ATTRS: dict[str, Any] = {"direction": "forward", "activations": REQUIRED, "clip": 0.0}


def _rows(kind: str, operands: int, step: Step, attrs: dict[str, Any]) -> list[OpRow]:
    """In floats, and with states of bytes."""
    q, attrs = f"q{kind}", {**_ATTRS, **attrs}
    return [
        OpRow(kind, "recurrent", (3, operands), _infer(kind), _evaluate(kind, step), attrs),
        OpRow(q, "integer", (operands + 1, operands + 1), _infer(q), _evaluate(q, step), {**attrs, "together": False}),
    ]


ROWS: list[OpRow] = [
    *_rows("lstm", 8, _lstm_step, {"input_forget": False}),
    *_rows("gru", 6, _gru_step, {"linear_before_reset": False}),
    *_rows("rnn", 6, _rnn_step, {}),
]
