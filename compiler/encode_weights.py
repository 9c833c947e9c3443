"""Weights of convolutions and matmuls in fewer bits: i8 and 8-bit floats with a scale a result channel, i4 in groups.

The bits are those that kernels of floats decode in registers (targets/c/coded.py): symmetric, with scales of 16 bits,
i4 in groups of 32 along the products. What has few products a tap is i8 where i4 is asked for: scales would be as large
as what they save. Depthwise weights, a hundredth of all, stay floats.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from edgec.graph_values import graph_values
from edgec.ir.encodings import FLOAT8, grouped_dims, nearest_float8
from edgec.ir.graph import Graph, Op
from edgec.ir.types import Encoding, Float8, Quant, Type
from edgec.operand_rows import Moments, group_count, operand_rows
from edgec.quantize import weights_of
from edgec.targets.c.coded import short_scale
from edgec.targets.c.lower.conv import SEGMENTS, conv_has_rows, is_depthwise
from edgec.weight_rounding import TOP, TOP_OF_FOUR, choose_scale, damping_for, gptq, round_nearest

Array = np.ndarray[Any, Any]
GROUP = 32
LEAST_PRODUCTS = 16  # a tap: fewer share no scale of four bits
MOMENT_BYTES = 512 << 20  # of products of columns that are held at once
ROWS = 512  # of a sample that moments are taken of


def encodable(op: Op) -> bool:
    """A convolution or matmul whose constant weights have a coded form."""
    if op.kind not in ("conv", "matmul") or op.result.type.dtype != "f32" or op.arg(1).const is None:
        return False
    if op.kind == "conv":
        return conv_has_rows(op) and not is_depthwise(op) and op.arg(0).const is None
    return math.prod(op.arg(1).type.dims[:-2]) == 1 and op.arg(1).type.size > 0


def products_axis(op: Op) -> int:
    """The axis of the weights that groups lie along: input channels."""
    if op.kind == "conv":
        return 1
    return op.arg(1).type.rank - (1 if op.attrs["trans_b"] else 2)


def form_for(op: Op, wanted: str) -> str:
    """The format that the weights get where `wanted` is asked for."""
    if wanted != "i4":
        return wanted
    dims = op.arg(1).type.dims
    channels = dims[products_axis(op)]
    if op.kind == "conv" and channels % GROUP and math.prod(dims[2:]) > SEGMENTS:
        return "i8"
    return "i4" if channels >= LEAST_PRODUCTS else "i8"


def encode_weights(graph: Graph, op: Op, wanted: str, hessian: Array | None = None, rows: int = 0) -> dict[str, Any]:
    """Sets the encoding of the op's weights; what the receipt says of it. `hessian` [groups, k, k], of so many rows,
    makes four bits make up for one another's errors (weight_rounding.gptq)."""
    format, axes = form_for(op, wanted), weights_of(op)
    w = graph.array(op.arg(1)).astype(np.float64)
    flat = w.transpose(axes).reshape(w.shape[axes[0]], -1)
    if format == "i4":
        scale, stored = _in_groups(op, w, axes, hessian, rows)
    else:
        scale = channel_scale(flat, format)
        narrow = (
            nearest_float8(flat.astype(np.float32), scale[:, None], format)
            if format in FLOAT8
            else round_nearest(flat, scale)
        )
        stored = narrow.reshape(w.transpose(axes).shape).transpose(np.argsort(axes))
    module, value = graph.module, op.arg(1)
    key = module.intern(scale)
    if format in FLOAT8:
        encoding: Encoding = Float8(format, key, axes[0])
    else:
        zero = module.intern(np.zeros(scale.shape, np.int8))
        axis = products_axis(op) if format == "i4" else axes[0]
        encoding = Quant(format, key, zero, axis, GROUP if format == "i4" else 0)
    op.inputs[1] = graph.encoded(np.ascontiguousarray(stored), Type("f32", value.type.shape, (encoding,)), value.name)
    noise = np.sum((graph.array(op.arg(1)) - w) ** 2)
    level = 10 * math.log10(np.sum(w**2) / noise) if noise > 0 else None
    return {
        "op": f"{op.kind} {op.source}".strip(),
        "format": format,
        "signal_to_noise_db": round(level, 2) if level is not None else None,
    }


def channel_scale(flat: Array, format: str, powers: bool = False) -> Array:
    """A scale of 16 bits for each channel of [n, k], that its largest weight fits; `powers`: of two."""
    top = float(TOP) if format == "i8" else largest_of(format)
    scale = np.abs(flat).max(axis=1, initial=0.0) / top
    scale = np.where(scale > 0, scale, 1.0)
    return short_scale((2.0 ** np.ceil(np.log2(scale)) if powers else scale).astype(np.float32))


def largest_of(format: str) -> float:
    """The largest number of an 8-bit float."""
    return {"e4m3": 448.0, "e5m2": 57344.0}[format]


def _in_groups(op: Op, w: Array, axes: tuple[int, ...], hessian: Array | None, rows: int) -> tuple[Array, Array]:
    """Scales and codes of four bits in groups along the products."""
    axis = products_axis(op)
    moved = np.moveaxis(w, axis, -1)
    length = moved.shape[-1]
    padding = -length % GROUP
    padded = np.pad(moved, [(0, 0)] * (w.ndim - 1) + [(0, padding)])
    groups = padded.reshape(-1, GROUP)
    scale = short_scale(choose_scale(groups, top=TOP_OF_FOUR))
    scales = np.moveaxis(scale.reshape(*moved.shape[:-1], -1), -1, axis)
    assert scales.shape == grouped_dims(w.shape, axis, GROUP)
    if hessian is None:
        codes = round_nearest(groups, scale, TOP_OF_FOUR).reshape(padded.shape)[..., :length]
        return np.ascontiguousarray(scales), np.moveaxis(codes, -1, axis)
    spread = np.repeat(scales, GROUP, axis).take(range(length), axis)
    flat, flat_scale = (v.transpose(axes).reshape(v.shape[axes[0]], -1) for v in (w, spread))
    parts = len(flat) // len(hessian)
    damping = damping_for(rows, flat.shape[1])
    codes = np.concatenate([
        gptq(flat[g * parts : (g + 1) * parts], flat_scale[g * parts : (g + 1) * parts], h, damping, TOP_OF_FOUR)
        for g, h in enumerate(hessian)
    ])  # fmt: skip
    shape = w.transpose(axes).shape
    return np.ascontiguousarray(scales), codes.reshape(shape).transpose(np.argsort(axes))


def moments_of(graph: Graph, ops: Sequence[Op], samples: Sequence[Mapping[str, Array]]) -> Iterator[tuple[Op, Moments]]:
    """For each op, the moments of what its weights are multiplied with, on all samples; a few ops at a time."""
    batch: list[Op] = []
    size = 0
    for op in ops:
        k = op.arg(1).type.size // op.arg(1).type.dims[weights_of(op)[0]]
        if batch and size + 8 * group_count(op) * k * k > MOMENT_BYTES:
            yield from _batch_of(graph, batch, samples)
            batch, size = [], 0
        batch.append(op)
        size += 8 * group_count(op) * k * k
    if batch:
        yield from _batch_of(graph, batch, samples)


def _batch_of(
    graph: Graph, ops: Sequence[Op], samples: Sequence[Mapping[str, Array]]
) -> Iterator[tuple[Op, Moments]]:
    readers = defaultdict(list)
    found: dict[Op, Moments] = {}
    for op in ops:
        readers[op.arg(0)].append(op)
        k = op.arg(1).type.size // op.arg(1).type.dims[weights_of(op)[0]]
        found[op] = Moments(group_count(op), k)
    with graph_values(graph, list(readers)) as taps:
        for _, values in taps.stream(samples):
            for value, array in values.items():
                for op in readers[value]:
                    found[op].add(operand_rows(op, array, ROWS))
    yield from found.items()
