"""A block in slices of its wide value's channels: the ops once more for each slice, over parts of their constants.

expand, steps that keep channels apart, project: a slice of the expansion's result channels needs a slice of its weights
and biases; the projection sums over channels, so each slice goes on from the sums of the one before, in the same order
as without slices and so to the same bits. Bias comes first and the addition, clamp and activation last.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edgec.ir.graph import Attr, Graph, Op, Value
from edgec.ir.types import Type


def slice_ops(ops: Sequence[Op], slices: int, graph: Graph) -> list[tuple[Op, ...]]:
    """The ops of each slice; all have the result of the last op."""
    channels = ops[0].result.type.dims[-1]
    return [_slice(ops, i, slices, channels // slices, graph) for i in range(slices)]


def _slice(ops: Sequence[Op], i: int, slices: int, width: int, graph: Graph) -> tuple[Op, ...]:
    channels = slice(i * width, (i + 1) * width)
    made: list[Op] = []
    for op in ops[:-1]:
        x = made[-1].result if made else op.arg(0)
        rest = [_operand(op, at, v, channels, graph) for at, v in enumerate(op.inputs[1:], 1)]
        one = Op(op.kind, [x, *rest], _attributes(op, width, bool(made)), op.source)
        dims = (*op.result.type.dims[:-1], width)
        one.results = [Value(op.result.name, Type(op.result.type.dtype, dims), one)]
        made.append(one)
    last = ops[-1]
    weights = graph.array(last.arg(1))
    if last.kind == "conv":
        part = weights[:, channels]
    else:
        matrix = weights.reshape(weights.shape[-2:])
        part = matrix[:, channels] if last.attrs["trans_b"] else matrix[channels]
    constant = graph.constant(np.ascontiguousarray(part), last.arg(1).name)
    rest = list(last.inputs[2:])
    for at, value in enumerate(rest):
        vector = value is not None and value.const is not None
        if (vector and i > 0) or (not vector and i < slices - 1):
            rest[at] = None
    attrs = dict(last.attrs) if i == slices - 1 else {**last.attrs, "act": ""}
    project = Op(last.kind, [made[-1].result, constant, *rest], attrs, last.source)
    project.results = [last.result]
    return (*made, project)


def _operand(op: Op, at: int, value: Value | None, channels: slice, graph: Graph) -> Value | None:
    """The slice of a constant operand that belongs to the channels."""
    if value is None:
        return None
    array = graph.array(value)
    if op.kind == "matmul" and at == 1:
        matrix = array.reshape(array.shape[-2:])
        part = matrix[channels] if op.attrs["trans_b"] else matrix[:, channels]
    elif op.kind == "conv" or at > 1:
        part = array[channels]  # weights and biases have result channels first
    elif op.kind == "conv_transpose":
        part = array[:, channels]
    else:
        part = array if array.size == 1 else array[..., channels]
    return graph.constant(np.ascontiguousarray(part), value.name)


def _attributes(op: Op, width: int, behind: bool) -> dict[str, Attr]:
    return {**op.attrs, "groups": width} if op.kind == "conv" and behind else dict(op.attrs)
