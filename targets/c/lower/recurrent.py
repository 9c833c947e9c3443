"""LSTM, GRU and RNN: the input's part of all steps as one matmul a direction, where it is not there already, then the
recurrence, in floats (recurrent.h), with codes as weights (coded_recurrent.h) or the state as bytes (qrecurrent.h)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from edgec.ir.graph import Op, Value
from edgec.ir.ops.integer import terms_of_bytes
from edgec.ir.ops.recurrent import BYTE_GATES, GATES
from edgec.plan.plan import Arg, Pointer, Struct
from edgec.targets.c.coded import Coded, CodedTiles, choose_coded_tiles, weights_of
from edgec.targets.c.lower.context import CTYPES, Lowering, LowerOp, NotLowered
from edgec.targets.c.lower.matmul import packed_matmul, run_time_matmul
from edgec.targets.c.lower.qmatmul import READ_BEHIND, laid_out
from edgec.targets.c.qtiles import choose_qtiles
from edgec.targets.c.tiles import Tiles, choose_tiles

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
    gates = (GATES | BYTE_GATES)[op.kind]
    given, by = (op.inputs[:-1], op.arg(-1)) if op.kind in BYTE_GATES else (op.inputs, None)
    operands: list[Value | None] = [*given, *[None] * (8 - len(given))]
    w, r, bias, lens, h0, c0, p = operands[1:]
    assert r is not None
    t, b, _ = x.type.dims
    d, _, h = r.type.dims
    each = gates * h
    seeing = 2 * h if gates == 3 else each  # gate units that see the state as it is
    names = a["activations"]
    per = len(names) // d
    pointers = {n: ctx.read(v) if v is not None else None for n, v in (("b", bias), ("h0", h0), ("c0", c0), ("p", p))}
    for k in range(d):
        gx = _at(ctx.read(x), k * each) if w is None else _input_part(ctx, x, w, k)
        state = _state(ctx, op, r, by, k, seeing)
        kinds = [ACTIVATIONS.index(n) for n in names[k * per : (k + 1) * per]] + [1, 1]
        option = a.get("input_forget") or a.get("linear_before_reset")
        fields = {"gates": gates, "t": t, "b": b, "h": h, "y_step": d * b * h,
                  "x_step": each if w is not None else d * each,
                  "reverse": int(a["direction"] == "reverse" or k == 1), "option": int(bool(option)),
                  "lens_bytes": lens.type.numpy.itemsize if lens is not None else 0, "f": kinds[0], "g": kinds[1],
                  "o": kinds[2], "clip": float(a["clip"])}  # fmt: skip
        results = [_at(ctx.write(v), k * b * h) for v in op.results]
        ctx.call(
            state.header, state.function, gx, *state.weights, _at(pointers["b"], k * 2 * each),
            _at(pointers["p"], k * 3 * h), ctx.read(lens, "void") if lens is not None else None,
            _at(pointers["h0"], k * b * h), _at(pointers["c0"], k * b * h), results[0], results[1],
            results[2] if len(results) > 2 else None, *state.room,
            Struct("edgec_recurrent_shape", tuple(fields.items())), *state.tiles, macs=t * b * each * h,
            instances=state.instances,
        )  # fmt: skip


def _state(ctx: Lowering, op: Op, r: Value, by: Value | None, k: int, seeing: int) -> _State:
    if by is not None:
        return _on_bytes(ctx, op, r, by, k, seeing)
    if r.const is not None and isinstance(weights := weights_of(ctx.graph, r, 1, 2), Coded):
        return _on_codes(ctx, weights[k], seeing)
    return _in_floats(ctx, r, k, seeing)


@dataclass(frozen=True)
class _State:
    """A form of the state's part of one direction: its kernel, and the arguments that are its own."""

    header: str
    function: str
    weights: tuple[Arg, ...]
    room: tuple[Arg, ...]
    tiles: tuple[Struct | None, Struct | None]
    instances: tuple[str, ...]


def _in_floats(ctx: Lowering, r: Value, k: int, seeing: int) -> _State:
    _, each, h = r.type.dims
    tiles = [choose_tiles(ctx.element("f32"), 1, n, h) for n in (seeing, each - seeing) if n]
    columns = sum(f.packed_columns(n) for f, n in zip(tiles, (seeing, each - seeing), strict=False))
    return _by_panels(ctx, "recurrent.h", (_recurrence(ctx, r, k, tiles, seeing), 4 * h), each + 2 * h + columns, tiles)


def _on_codes(ctx: Lowering, weights: Coded, seeing: int) -> _State:
    """Weights [units of gates, units] of one direction."""
    each, h = weights.shape
    parts = [weights[first:end].transpose(1, 0) for first, end in ((0, seeing), (seeing, each)) if end > first]
    tiles = [choose_coded_tiles(ctx.isa, weights.form, 1, part.shape[1], h) for part in parts]
    panels = [f.pack(part.reshape(1, *part.shape)) for f, part in zip(tiles, parts, strict=True)]
    columns = sum(f.tiles.packed_columns(part.shape[1]) for f, part in zip(tiles, parts, strict=True))
    packed = np.concatenate(panels)
    stored = ctx.pack(packed, "float", tiles[0].kind), packed.nbytes // columns
    return _by_panels(ctx, "coded_recurrent.h", stored, each + 2 * h + columns, tiles)


def _by_panels(
    ctx: Lowering, header: str, stored: tuple[Arg, int], work: int, tiles: Sequence[Tiles | CodedTiles]
) -> _State:
    """`stored`: panels, and the bytes of a column; `work`: floats."""
    return _State(
        header, "edgec_recurrent", stored, (ctx.temp(4 * work, "float"),),
        (tiles[0].struct(), tiles[1].struct() if tiles[1:] else None),
        tuple(i for f in tiles for i in f.instances()),
    )  # fmt: skip


def _on_bytes(ctx: Lowering, op: Op, r: Value, by: Value, k: int, seeing: int) -> _State:
    if r.const is None or by.const is None:
        raise NotLowered(f"{op.kind} with bytes needs weights that are known at compile time")
    _, b, _ = op.arg(0).type.dims
    weights = ctx.graph.array(r)[k].astype(np.int32)
    each, h = weights.shape
    runs = np.stack(terms_of_bytes(weights))
    parts = [(0, seeing), (seeing, each)] if seeing < each else [(0, each)]
    chosen = [choose_qtiles(ctx.isa, 1, end - first, h, 1, len(runs), "sums") for first, end in parts]
    panels: list[Arg] = []
    for f, (first, end) in zip(chosen, parts, strict=True):
        packed = f.pack(runs[:, first:end].transpose(0, 2, 1))
        panels += [ctx.pack(packed, kind=f.kind), packed.size // f.tiles.packed_columns(end - first)]
    columns = max(f.tiles.packed_columns(end - first) for f, (first, end) in zip(chosen, parts, strict=True))
    scales = ctx.pack(ctx.graph.array(by)[k])
    sums = ctx.pack(weights.sum(axis=1, dtype=np.int32))
    work = ctx.temp(4 * (2 * each + (2 + b) * h + b + 1), "float")
    bytes_ = ctx.temp((b + 1) * h + READ_BEHIND, CTYPES[ctx.isa.byte])
    numbers = ctx.temp(4 * (b + 1 + each + columns), "int32_t")
    structs = [f.struct() for f in chosen]
    return _State(
        "qrecurrent.h", "edgec_qrecurrent", (*panels, *[None, 0][: 4 - len(panels)], scales, sums),
        (work, bytes_, numbers, columns, len(runs), int(bool(op.attrs["together"]) and b > 1)),
        (structs[0], structs[1] if structs[1:] else None),
        (laid_out(ctx.isa), *(i for f in chosen for i in f.instances())),
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


RECURRENT: dict[str, LowerOp] = dict.fromkeys((*GATES, *BYTE_GATES), _recurrent)
