"""Weights and biases of convolutions and matmuls by constants, in the order [result channels, k] of products; and
weights of the state of recurrent operators."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from edgec.ir.encodings import only, spread
from edgec.ir.graph import Graph, Op, Value
from edgec.ir.ops.integer import TOP_OF_FOUR
from edgec.ir.ops.recurrent import GATES
from edgec.ir.types import Quant, Type
from edgec.weight_rounding import TOP

Array = np.ndarray[Any, Any]


def weights_at(op: Op) -> int:
    """The operand: of recurrent operators the weights of the state."""
    return 2 if op.kind in GATES else 1


def matrix_of(op: Op) -> Value:
    """The weights."""
    return op.arg(weights_at(op))


def weights_of(op: Op) -> tuple[int, ...]:
    """Axes of the weights in the order [result channels, …]."""
    rank = matrix_of(op).type.rank
    if op.kind in GATES:
        return (1, 0, 2)
    if op.kind == "matmul" and not op.attrs["trans_b"]:
        return (rank - 1, *range(rank - 1))
    return (rank - 2, rank - 1, *range(rank - 2)) if op.kind == "matmul" else tuple(range(rank))


def flat_weights(graph: Graph, op: Op) -> Array:
    """Real weights, float64."""
    w = graph.array(op.arg(1)).transpose(weights_of(op))
    return w.reshape(w.shape[0], -1).astype(np.float64)


@dataclass(frozen=True)
class Stored:
    """Numbers [result channels, k] in [-top, top], and their steps: one a channel, or [result channels, k] where groups
    have their own."""

    numbers: Array
    steps: Array
    top: int


def stored_weights(graph: Graph, op: Op) -> Stored:
    value, axes = op.arg(1), weights_of(op)
    numbers, encoding = graph.stored(value).transpose(axes), only(value.type)
    assert isinstance(encoding, Quant), encoding
    steps = graph.module.constants[encoding.scale]
    if encoding.group and encoding.axis is not None:
        wide = spread(steps, encoding.axis, encoding.group, value.type.dims[encoding.axis])
        steps = np.broadcast_to(wide, value.type.dims).transpose(axes).reshape(len(numbers), -1)
    return Stored(numbers.reshape(len(numbers), -1), steps, TOP_OF_FOUR if encoding.format == "i4" else TOP)


def set_weights(graph: Graph, op: Op, stored: Array, type: Type) -> None:
    """Numbers [result channels, k] as weights of this encoded type."""
    axes = weights_of(op)
    back = stored.reshape([type.dims[axis] for axis in axes]).transpose(np.argsort(axes))
    op.inputs[1] = graph.encoded(np.ascontiguousarray(back), type, op.arg(1).name)


def bias_of(graph: Graph, op: Op, results: int) -> Array:
    """The bias of each result channel; zeros where there is none."""
    bias = op.inputs[2] if len(op.inputs) > 2 else None
    return np.zeros(results) if bias is None else np.broadcast_to(graph.array(bias).reshape(-1), (results,))


def set_bias(graph: Graph, op: Op, bias: Array) -> None:
    """A bias for each result channel, in the shape that the old one had."""
    old = op.inputs[2] if len(op.inputs) > 2 else None
    shape = bias.shape if old is None or old.type.size == 1 else old.type.dims
    op.inputs[2:3] = [graph.constant(bias.reshape(shape))]
