"""Matmul of bytes by constant weights (kernels/qmatmul.h), and what all sums of bytes become in the end."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from edgec.ir.encodings import spread
from edgec.ir.graph import Op, Value
from edgec.ir.ops.integer import MOST_TIMES, TOP_OF_FOUR
from edgec.ir.residual import residual_of
from edgec.plan.plan import Pointer
from edgec.targets.c.isa import Isa
from edgec.targets.c.lower.context import Lowering, LowerOp, NotLowered
from edgec.targets.c.lower.matmul import task_count
from edgec.targets.c.qtiles import FOUR_PRODUCTS, Result, choose_qtiles
from edgec.targets.c.requant import check_bytes, packed_multipliers, short_multipliers

READ_BEHIND = 15  # bytes behind a run that qgemm.h may read


@dataclass(frozen=True)
class Finish:
    """What becomes of sums over x: `bias` is added; with multipliers `by` (edgec_requant) they become bytes of
    [lo, hi], without they stay int32. `r_steps`: what other bytes that are added are times, or nothing is."""

    x_zero: int
    bias: np.ndarray
    by: np.ndarray | None
    lo: int
    hi: int
    r_steps: np.ndarray | None = None

    def ends(self, isa: Isa, weights: np.ndarray) -> np.ndarray:
        """Least and largest sums [2][n] by weights [n][k] of any bytes; a product with padding is 0."""
        span = np.array([0, 255] if isa.byte == "u8" else [-128, 127])[:, np.newaxis]
        up, down = (f(weights, 0).sum(1, dtype=np.int64) for f in (np.maximum, np.minimum))
        far = span - self.x_zero  # from at most 0 to at least 0
        sums: np.ndarray = self.bias.astype(np.int64) + far * up + far[::-1] * down
        return sums if self.r_steps is None else sums + span * self.r_steps.astype(np.int64)

    def multipliers(self, isa: Isa, weights: np.ndarray) -> tuple[Result, np.ndarray | None]:
        """What sums by weights [n][k] become, and by which multipliers, as kernels take them."""
        if self.by is None:
            return "sums", None
        sums = self.ends(isa, weights)
        short = short_multipliers(isa, self.by, sums)
        if isa.name == "neon" and np.any(np.abs(sums * self.by >> 31) >= (1 << 15) - 1):
            short = None
        return ("bytes", self.by) if short is None else ("short", short)

    def folded(self, weight_sums: np.ndarray) -> np.ndarray:
        """The bias of sums of products that do not subtract x's zero point; int32 arithmetic is modulo 2^32."""
        full = self.bias.astype(np.int64) - self.x_zero * weight_sums.astype(np.int64)
        return full.astype(np.int32)


def finish_of(op: Op, ctx: Lowering) -> Finish:
    """The finish of a qconv or qmatmul; NotLowered when kernels of this instruction set have other bytes."""
    x, y, attrs = op.arg(0), op.result, op.attrs
    check_bytes(op, ctx.isa, (x, y) if y.type.dtype != "i32" else (x,))
    if any(v is not None and v.const is None and v is not residual_of(op) for v in op.inputs[1:]):
        raise NotLowered(f"{op.kind} needs weights that are known at compile time")
    bias, m, s, _, _, r_steps = (
        ctx.graph.array(v) if v is not None and v.const is not None else None
        for v in (*op.inputs[2:], *[None] * 6)[:6]
    )  # fmt: skip
    channels = op.arg(1).type.dims[0]
    by = packed_multipliers(ctx.isa, m, s) if m is not None and s is not None else None
    numbers: Any = attrs
    return Finish(
        numbers["x_zero"], bias if bias is not None else np.zeros(channels, np.int32), by, numbers["lo"], numbers["hi"],
        r_steps,
    )  # fmt: skip


def laid_out(isa: Isa) -> str:
    """A check of the C compiler's flags: with others, packed weights would be read in another order."""
    return f"EDGEC_LAID_OUT({int(isa.dot)})"


def owned(ctx: Lowering, value: Value) -> Pointer:
    """A dense value where bytes behind it may be read: what the caller owns is copied first."""
    source = ctx.read(value)
    if source.buffer.space == "scratch":
        return source
    copy = ctx.temp(value.type.nbytes + READ_BEHIND, source.ctype)
    ctx.copy(copy, source, value.type.nbytes)
    return copy


@dataclass(frozen=True)
class ByteWeights:
    """Weights of an op, and with four bits the multiplier of each; both in any layout."""

    codes: np.ndarray
    times: np.ndarray | None

    @property
    def shape(self) -> tuple[int, ...]:
        dims: tuple[int, ...] = self.codes.shape
        return dims

    def moved(self, f: Callable[[np.ndarray], np.ndarray]) -> ByteWeights:
        return ByteWeights(f(self.codes), f(self.times) if self.times is not None else None)

    @property
    def bytes(self) -> np.ndarray:
        """What x is multiplied with."""
        return self.codes if self.times is None else self.codes * self.times

    def joins(self, channels: int) -> bool:
        """Whether taps of so many channels may be one run: groups do not go over the end of a tap."""
        return self.times is None or channels % FOUR_PRODUCTS == 0


def weights_of(op: Op, ctx: Lowering) -> ByteWeights:
    """As the op has them: result channels first."""
    codes = ctx.graph.array(op.arg(1))
    given = op.inputs[5] if len(op.inputs) > 5 else None
    if given is None:
        return ByteWeights(codes, None)
    times = spread(ctx.graph.array(given), 1, FOUR_PRODUCTS, codes.shape[1])
    small = codes.min(initial=0) >= -TOP_OF_FOUR and codes.max(initial=0) <= TOP_OF_FOUR
    if not small or times.min(initial=1) < 1 or times.max(initial=1) > MOST_TIMES:
        raise NotLowered(f"{op.kind} has weights in groups beyond {TOP_OF_FOUR}, or multipliers beyond {MOST_TIMES}")
    return ByteWeights(codes, times)


def packed_qmatmul(
    ctx: Lowering, x: Pointer, given: ByteWeights, finish: Finish, y: Pointer, rows: int, r: Pointer | None = None
) -> None:
    """y[rows][n] of x[rows][k], weights[n][k] and perhaps r[rows][n], which is added."""
    weights = given.bytes
    n, k = weights.shape
    if not rows or not n:
        return
    result, factors = finish.multipliers(ctx.isa, weights)
    tiles = choose_qtiles(ctx.isa, rows, n, k, rows, 1, result, given.times is not None, r is not None)
    mr = tiles.tiles.mr
    # whole tiles in every chunk but the last, which has the rows left over too
    chunk = max(1, rows // (task_count(rows, _work(ctx.isa, n * k)) * mr)) * mr
    bias = tiles.pack_columns(finish.folded(weights.sum(1, dtype=np.int64)))
    by, r_steps = (ctx.pack(tiles.pack_columns(v)) if v is not None else None for v in (factors, finish.r_steps))
    runs = given.moved(lambda v: v.T[np.newaxis])
    packed = tiles.pack(runs.codes, runs.times)
    ctx.call(
        tiles.header or "qmatmul.h", "edgec_qmatmul", x, ctx.pack(packed, kind=tiles.kind), ctx.pack(bias), by, r,
        r_steps, y, rows, n, k, packed.size // tiles.tiles.packed_columns(n), chunk, finish.lo, finish.hi,
        tiles.struct(), tasks=rows // chunk, macs=rows * n * k, instances=(laid_out(ctx.isa), *tiles.instances()),
    )  # fmt: skip


def _work(isa: Isa, macs: int) -> int:
    """Products of bytes as those of floats that take as long."""
    return macs // (32 if isa.amx else 8 if isa.mmla else 4 if isa.dot else 2)


def _qmatmul(op: Op, ctx: Lowering) -> None:
    x, y = op.arg(0), op.result
    finish = finish_of(op, ctx)
    if y.type.size:
        rows = math.prod(y.type.dims[:-1])
        packed_qmatmul(ctx, owned(ctx, x), weights_of(op, ctx), finish, ctx.write(y), rows)


QMATMUL: dict[str, LowerOp] = {"qmatmul": _qmatmul}
