"""Weights of products, recurrences among them, in fewer bits: i8 and 8-bit floats with a scale a channel, i4 in groups.

The bits are those that kernels of floats decode in registers (targets/c/coded.py): symmetric, with scales of 16 bits,
i4 in groups of 32 along the products. What has few products a tap is i8 where i4 is asked for: scales would be as large
as what they save. Depthwise weights, a hundredth of all, stay floats.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np

from edgec.column_blocks import blocks_facts, blocks_of, matrix_bytes
from edgec.flat_weights import matrix_of, weights_at, weights_of
from edgec.graph_values import graph_values
from edgec.ir.encodings import FLOAT8, grouped_dims, nearest_float8, spread
from edgec.ir.graph import Graph, Op, Value
from edgec.ir.ops.integer import GROUP, MOST_TIMES, TOP_OF_FOUR
from edgec.ir.ops.recurrent import GATES
from edgec.ir.types import Encoding, Float8, Quant, Type
from edgec.low_rank import add_product, factors
from edgec.operand_rows import Met, group_count, operand_rows
from edgec.quantize import Legal
from edgec.targets.c.coded import short_scale
from edgec.targets.c.lower.conv import SEGMENTS, conv_has_rows, is_depthwise
from edgec.weight_rounding import TOP, choose_scale, compensated, damping_for, gptq_to

Array = np.ndarray[Any, Any]
T = TypeVar("T")
ONE = np.ones((), np.float32)
LEAST_PRODUCTS = 16  # a tap: fewer share no scale of four bits
MOMENT_BYTES = 512 << 20  # of products of columns that are held at once
ROWS = 512  # of a sample that moments are taken of
MULTIPLIED = ("conv", "conv_transpose", "matmul", *GATES)


# Why weights stay floats, by code.
RECURRENT, DEPTHWISE, NO_FORM = "RECURRENT_WEIGHTS", "DEPTHWISE_WEIGHTS", "NO_CODED_KERNEL"
IN_FLOATS = {
    RECURRENT: "a recurrent operator has codes of constants alone, and of two directions where inputs' weights are too",
    DEPTHWISE: "depthwise weights are a hundredth of all, and their kernels read floats",
    NO_FORM: "the kernel of this form of the operator reads floats",
}


def encodable(op: Op) -> bool:
    """A convolution or matmul whose constant weights have a coded form, or a recurrence in one direction."""
    if op.kind not in ("conv", "matmul", *GATES) or op.results[0].type.dtype != "f32":
        return False
    w = matrix_of(op)
    if w.const is None or not w.type.size:
        return False
    if op.kind in GATES:
        return w.type.dims[0] == 1
    if op.kind == "conv":
        return conv_has_rows(op) and not is_depthwise(op) and op.arg(0).const is None
    return math.prod(w.type.dims[:-2]) == 1


def with_plain_weights(graph: Graph) -> list[Op]:
    """Operators that multiply by constants in floats."""
    return [op for op in graph.ops if op.kind in MULTIPLIED and any(map(_is_plain, op.inputs[1 : weights_at(op) + 1]))]


def _is_plain(value: Value | None) -> bool:
    return value is not None and value.const is not None and not value.type.encodings


def floats_because(op: Op) -> dict[str, str]:
    """For the receipt, of an operator with constant weights that is not `encodable`."""
    code = NO_FORM
    if op.kind in GATES:
        code = RECURRENT
    elif op.kind == "conv" and is_depthwise(op):
        code = DEPTHWISE
    return {"op": op.label, "code": code, "why": IN_FLOATS[code]}


def products_axis(op: Op) -> int:
    """The axis of the weights that groups lie along: input channels."""
    if op.kind in GATES:
        return 2
    if op.kind == "conv":
        return 1
    return op.arg(1).type.rank - (1 if op.attrs["trans_b"] else 2)


def form_for(op: Op, wanted: str) -> str:
    """The format that the weights get where `wanted` is asked for."""
    if wanted != "i4":
        return wanted
    dims = matrix_of(op).type.dims
    channels = dims[products_axis(op)]
    if op.kind == "conv" and channels % GROUP and math.prod(dims[2:]) > SEGMENTS:
        return "i8"
    return "i4" if channels >= LEAST_PRODUCTS else "i8"


def encode_weights(
    graph: Graph, op: Op, wanted: str, met: Met | None = None, legal: Legal | None = None, rank: int = 0
) -> dict[str, Any]:
    """Sets the encoding of the op's weights; what the receipt says of it. What the weights have `met` lets them make up
    for one another's errors (weight_rounding.gptq) and for those of what they are multiplied with. With `legal`, scales
    of four bits are 1 to 17 times one of the channel that sums on bytes may have (ir/ops/integer.py). With a `rank`,
    what is lost of a matmul's weights is given back by floats of that rank."""
    format, axes = form_for(op, wanted), weights_of(op)
    w = graph.array(matrix_of(op)).astype(np.float64)
    turned = w.transpose(axes)
    flat = turned.reshape(len(turned), -1)
    if format == "i4":
        scale, each = _group_scales(op, w, legal)
        steps = each.transpose(axes).reshape(flat.shape)
    else:
        scale = channel_scale(flat, format)
        steps = scale[:, None]
    codes = _rounded(flat, steps, format, met)
    stored = codes.reshape(turned.shape).transpose(np.argsort(axes))
    module, value = graph.module, matrix_of(op)
    key = module.intern(scale)
    if format in FLOAT8:
        encoding: Encoding = Float8(format, key, axes[0])
    else:
        zero = module.intern(np.zeros(scale.shape, np.int8))
        axis = products_axis(op) if format == "i4" else axes[0]
        encoding = Quant(format, key, zero, axis, GROUP if format == "i4" else 0)
    type = Type("f32", value.type.shape, (encoding,))
    op.inputs[weights_at(op)] = graph.encoded(np.ascontiguousarray(stored), type, value.name)
    found = graph.array(matrix_of(op)).transpose(axes).reshape(flat.shape).astype(np.float64)
    thin = factors((flat - found).T, rank) if rank and op.kind == "matmul" else None
    alone = np.sum((found - flat) ** 2)
    if thin is not None:
        found = found + (thin[0] @ thin[1]).T
    if met is not None and op.kind not in GATES:
        _correct_bias(graph, op, flat, met, found)
    if thin is not None:
        add_product(graph, op, *thin)
    noise = np.sum((found - flat) ** 2)
    level = 10 * math.log10(np.sum(w**2) / noise) if noise > 0 else None
    gained = {"low_rank_gained_db": round(10 * math.log10(alone / noise), 2) if noise > 0 else None}
    return {
        "op": op.label,
        "format": format,
        "signal_to_noise_db": round(level, 2) if level is not None else None,
        **(gained if thin is not None else {}),
    }


def _rounded(flat: Array, steps: Array, format: str, met: Met | None) -> Array:
    """The codes of weights [n, k]: uint8 for floats, else int8."""
    top = TOP_OF_FOUR if format == "i4" else TOP

    def nearest(v: Array) -> Array:
        if format in FLOAT8:
            return decoded(nearest_float8(v.astype(np.float32), ONE, format), format)
        return np.asarray(np.clip(np.rint(v), -top, top))

    if met is None:
        numbers = nearest(flat / steps)
    else:
        blocks, hessian, drift = met.stored.blocks, met.stored.hessian, met.drift
        groups = len(hessian) // blocks.count
        each = blocks.cut(flat.reshape(groups, -1, flat.shape[1]))
        damping = damping_for(met.stored.rows, blocks.width)
        aimed = each + 0.0 if drift is None else compensated(each, hessian, each @ drift, damping)
        wide = blocks.cut(steps.reshape(groups, -1, steps.shape[1]), 1.0)
        numbers = blocks.joined(gptq_to(nearest, aimed, wide, hessian, damping)).reshape(flat.shape)
    return nearest_float8(numbers, ONE, format) if format in FLOAT8 else numbers.astype(np.int8)


def decoded(codes: Array, format: str) -> Array:
    """The numbers of bytes of an 8-bit float."""
    return np.asarray(codes.view(FLOAT8[format]).astype(np.float32))


def _correct_bias(graph: Graph, op: Op, flat: Array, met: Met, stored: Array) -> None:
    """The bias with which the mean of each result channel is that of the float model."""
    mean, wanted = (np.repeat(v, len(flat) // len(v), axis=0) for v in (met.stored.mean, met.wanted))
    bias = op.inputs[2] if len(op.inputs) > 2 else None
    if bias is not None and (bias.const is None or bias.type.size not in (1, len(flat))):
        return  # the second operand of a sum
    change = (flat * wanted).sum(1) - (stored * mean).sum(1)
    before = 0.0 if bias is None else np.broadcast_to(graph.array(bias).reshape(-1), change.shape)
    shape = change.shape if bias is None or bias.type.size == 1 else bias.type.dims
    made = graph.constant((before + change).astype(np.float32).reshape(shape))
    op.inputs[2:3] = [made]


def channel_scale(flat: Array, format: str, powers: bool = False) -> Array:
    """A scale of 16 bits for each channel of [n, k], that its largest weight fits; `powers`: of two."""
    top = float(TOP) if format == "i8" else largest_of(format)
    scale = np.abs(flat).max(axis=1, initial=0.0) / top
    scale = np.where(scale > 0, scale, 1.0)
    return short_scale((2.0 ** np.ceil(np.log2(scale)) if powers else scale).astype(np.float32))


def largest_of(format: str) -> float:
    """The largest number of an 8-bit float."""
    return {"e4m3": 448.0, "e5m2": 57344.0}[format]


def _group_scales(op: Op, w: Array, legal: Legal | None) -> tuple[Array, Array]:
    """Scales of four bits in groups along the products, and the same for every weight."""
    axis = products_axis(op)
    moved = np.moveaxis(w, axis, -1)
    padding = -moved.shape[-1] % GROUP
    padded = np.pad(moved, [(0, 0)] * (w.ndim - 1) + [(0, padding)])
    scale = choose_scale(padded.reshape(-1, GROUP), top=TOP_OF_FOUR)
    scales = np.moveaxis(scale.reshape(*moved.shape[:-1], -1), -1, axis)
    if legal is None:
        scales = short_scale(scales)
    else:
        others = tuple(i for i in range(w.ndim) if i != weights_of(op)[0])
        along = [-1 if i == weights_of(op)[0] else 1 for i in range(w.ndim)]
        base = legal(scales.max(others) / MOST_TIMES).reshape(along)
        scales = (base * np.clip(np.rint(scales / base), 1, MOST_TIMES)).astype(np.float32)
    assert scales.shape == grouped_dims(w.shape, axis, GROUP)
    return np.ascontiguousarray(scales), spread(scales, axis, GROUP, w.shape[axis])


def met_by(graph: Graph, ops: Sequence[Op], samples: Sequence[Mapping[str, Array]]) -> Iterator[tuple[Op, Met]]:
    """For each op, what its weights meet on all samples of a graph of floats, a few ops at a time."""
    for batch in batches(ops, moment_bytes):
        yield from _batch_of(graph, batch, samples)


def batches(items: Iterable[T], moments: Callable[[T], int]) -> Iterator[list[T]]:
    """In order, each with as many bytes of moments as are held at once, or one item."""
    batch: list[T] = []
    size = 0
    for item in items:
        if batch and size + moments(item) > MOMENT_BYTES:
            yield batch
            batch, size = [], 0
        batch.append(item)
        size += moments(item)
    if batch:
        yield batch


def moment_bytes(op: Op) -> int:
    """Of what the weights of an op meet."""
    return matrix_bytes(group_count(op), products_of(op))


def in_blocks(ops: Iterable[Op]) -> list[dict[str, Any]]:
    """What the receipt says of operators so wide that weights make up for one another in blocks of columns alone."""
    return blocks_facts((op.label, blocks_of(group_count(op), products_of(op))) for op in ops)


def products_of(op: Op) -> int:
    """Products in a sum."""
    return matrix_of(op).type.size // max(1, matrix_of(op).type.dims[weights_of(op)[0]])


def _meets(op: Op) -> Value:
    """What the weights are multiplied with: of a state, all that it was."""
    return op.results[0] if op.kind in GATES else op.arg(0)


def _batch_of(
    graph: Graph, ops: Sequence[Op], samples: Sequence[Mapping[str, Array]]
) -> Iterator[tuple[Op, Met]]:
    readers = defaultdict(list)
    found: dict[Op, Met] = {}
    for op in ops:
        readers[_meets(op)].append(op)
        found[op] = Met(group_count(op), products_of(op))
    with graph_values(graph, list(readers)) as taps:
        for _, values in taps.stream(samples):
            for value, array in values.items():
                for op in readers[value]:
                    rows = operand_rows(op, array, ROWS)
                    found[op].add(rows, rows)
    yield from found.items()
