"""LSTM, GRU and RNN: the input's part of all steps as one matmul a direction, where it is not there already, then the
recurrence (recurrent.h)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from edgec.ir.graph import Op, Value
from edgec.plan.plan import Pointer, Struct
from edgec.targets.c.lower.context import Lowering, LowerOp, NotLowered
from edgec.targets.c.lower.matmul import packed_matmul, run_time_matmul
from edgec.targets.c.tiles import Tiles, choose_tiles

GATES = {"lstm": 4, "gru": 3, "rnn": 1}
ACTIVATIONS = (
    "Sigmoid",
    "Tanh",
    "Relu",
    "LeakyRelu",
    "ThresholdedRelu",
    "HardSigmoid",
    "Elu",
    "Softsign",
    "Softplus",
)


def _at(pointer: Pointer | None, floats: int) -> Pointer | None:
    return None if pointer is None else replace(pointer, offset=pointer.offset + 4 * floats)


def _recurrent(op: Op, ctx: Lowering) -> None:
    a: Any = op.attrs
    x = op.arg(0)
    if x.type.dtype != "f32":
        raise NotLowered(f"{op.kind} of {x.type.dtype} has no kernel")
    gates = GATES[op.kind]
    operands: list[Value | None] = [*op.inputs, *[None] * (8 - len(op.inputs))]
    w, r, bias, lens, h0, c0, p = operands[1:8]
    assert r is not None
    t, b, _ = x.type.dims
    d, _, h = r.type.dims
    each = gates * h
    names = a["activations"]
    per = len(names) // d
    pointers = {n: ctx.read(v) if v is not None else None for n, v in (("b", bias), ("h0", h0), ("c0", c0), ("p", p))}
    for k in range(d):
        gx = _at(ctx.read(x), k * each) if w is None else _input_part(ctx, x, w, k)
        seeing = 2 * h if op.kind == "gru" else each  # gate units that see the state as it is
        tiles = [choose_tiles(ctx.element("f32"), 1, n, h) for n in (seeing, each - seeing) if n]
        recurrence = _recurrence(ctx, r, k, tiles, seeing)
        columns = sum(f.packed_columns(n) for f, n in zip(tiles, (seeing, each - seeing), strict=False))
        kinds = [ACTIVATIONS.index(n) for n in names[k * per : (k + 1) * per]] + [1, 1]
        option = a.get("input_forget") or a.get("linear_before_reset")
        fields = {"gates": gates, "t": t, "b": b, "h": h, "y_step": d * b * h,
                  "x_step": each if w is not None else d * each,
                  "reverse": int(a["direction"] == "reverse" or k == 1), "option": int(bool(option)),
                  "lens_bytes": lens.type.numpy.itemsize if lens is not None else 0, "f": kinds[0], "g": kinds[1],
                  "o": kinds[2], "clip": float(a["clip"])}  # fmt: skip
        results = [_at(ctx.write(v), k * b * h) for v in op.results]
        ctx.call(
            "recurrent.h", "edgec_recurrent", gx, recurrence, _at(pointers["b"], k * 2 * each),
            _at(pointers["p"], k * 3 * h), ctx.read(lens, "void") if lens is not None else None,
            _at(pointers["h0"], k * b * h), _at(pointers["c0"], k * b * h), results[0], results[1],
            results[2] if len(results) > 2 else None, ctx.temp(4 * ((gates + 2) * h + columns), "float"),
            Struct("edgec_recurrent_shape", tuple(fields.items())), tiles[0].struct(),
            tiles[1].struct() if tiles[1:] else None, macs=t * b * each * h,
            instances=tuple(i for f in tiles for i in f.instances()),
        )  # fmt: skip


def _input_part(ctx: Lowering, x: Value, w: Value, k: int) -> Pointer:
    """What the input adds to the gates of direction k, for all steps."""
    t, b, size = x.type.dims
    _, each, _ = w.type.dims
    gx = ctx.temp(4 * t * b * each, "float")
    if w.const is not None:
        packed_matmul(ctx, ctx.read(x), ctx.graph.array(w)[k].T, None, None, gx, t * b, "")
    else:
        weights = _at(ctx.read(w), k * each * size)
        assert weights is not None
        run_time_matmul(ctx, ctx.read(x), weights, gx, t * b, each, size)
    return replace(gx, write=False)


def _recurrence(ctx: Lowering, r: Value, k: int, tiles: list[Tiles], seeing: int) -> Pointer | None:
    """Recurrent weights of direction k in panels: of the units that see the state as it is, then of the others."""
    _, each, h = r.type.dims
    parts = [(0, seeing), (seeing, each)][: len(tiles)]
    if r.const is not None:
        weights = ctx.graph.array(r)[k]
        packed = [f.pack(weights[first:end].T) for f, (first, end) in zip(tiles, parts, strict=True)]
        return ctx.pack(np.concatenate(packed))
    to = ctx.temp(4 * h * sum(f.packed_columns(end - first) for f, (first, end) in zip(tiles, parts, strict=True)),
                  "float")  # fmt: skip
    at: Pointer | None = to
    for f, (first, end) in zip(tiles, parts, strict=True):
        source = _at(ctx.read(r), (k * each + first) * h)
        ctx.call("matmul.h", "edgec_gemm_pack", source, at, h, end - first, f.struct(), 1)
        at = _at(at, h * f.packed_columns(end - first))
    return replace(to, write=False)


RECURRENT: dict[str, LowerOp] = dict.fromkeys(GATES, _recurrent)
