"""Scales of an operand's channels move into the weights that multiply it, so that one scale a tensor fits them all.

%1 = layer_norm %0, #g, #b              %1 = layer_norm %0, #g/s, #b/s
%2 = matmul %1, #w                 ->   %2 = matmul %1, #w*s

%2 = matmul %1, #w                 ->   %3 = mul %1, #1/s
                                        %2 = matmul %3, #w*s

Results stay what they are but for rounding (G. Xiao et al., "SmoothQuant: Accurate and Efficient Post-Training
Quantization for Large Language Models", 2022). A norm that only such products read is divided in its own scales; any
other value is divided where they read it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np

from edgec.flat_weights import flat_weights, weights_of
from edgec.ir.build import Builder
from edgec.ir.graph import Graph, Op, Value
from edgec.ir.origin import Scaled
from edgec.operand_rows import group_count

Array = np.ndarray[Any, Any]


def smooth_channels(graph: Graph, factors: Mapping[Value, tuple[Array, Collection[Op]]]) -> dict[Value, Value]:
    """`factors`: of a value, what each channel (the last axis) is divided by, and the convolutions and matmuls by
    constants for which it is. What these read now."""
    made: dict[Value, Value] = {}
    for value, (scales, readers) in factors.items():
        if is_absorbed(graph, value, readers):
            assert value.op is not None
            _divide(graph, value.op, scales)
            known = value.scaled or Scaled((1.0,))
            value.scaled, value.name = known.times(tuple(scales.tolist())), ""
            made[value] = value
        else:
            b = Builder(graph, before=next(op for op in graph.ops if op in readers))
            made[value] = b.op("mul", value, b.const(1.0 / scales, "f32"))
        for op in readers:
            op.inputs[:2] = made[value], graph.constant(_multiplied(graph, op, scales))
    return made


def is_absorbed(graph: Graph, value: Value, readers: Collection[Op]) -> bool:
    """Whether a norm of rows makes the value, whose own scales can be divided, and nothing else reads it."""
    op = value.op
    if op is None or op.kind not in ("layer_norm", "rms_norm") or value in graph.output_values():
        return False
    known = op.attrs["axis"] in (-1, value.type.rank - 1) and all(v is None or v.const for v in op.inputs[1:])
    return known and all(user in readers for user in graph.users().get(value, ()))


def by_channel(op: Op, w: Array) -> Array:
    """Weights [results, k] as [groups, results of one, channels of one, positions]."""
    groups = group_count(op)
    return w.reshape(groups, len(w) // groups, op.arg(0).type.dims[-1] // groups, -1)


def _multiplied(graph: Graph, op: Op, scales: Array) -> Array:
    moved = by_channel(op, flat_weights(graph, op)) * scales.reshape(group_count(op), 1, -1, 1)
    axes, dims = weights_of(op), op.arg(1).type.dims
    back = moved.reshape([dims[axis] for axis in axes]).transpose(np.argsort(axes))
    return np.ascontiguousarray(back, np.float32)


def _divide(graph: Graph, norm: Op, scales: Array) -> None:
    own = [None if v is None else graph.array(v) / scales for v in norm.inputs[1:]] or [None]
    own[0] = 1.0 / scales if own[0] is None else own[0]
    norm.inputs[1:] = [None if array is None else graph.constant(array.astype(np.float32)) for array in own]
