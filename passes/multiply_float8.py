"""Convolutions and matmuls read 8-bit floats as they lie in memory, for cores that multiply them.

%1: f32[…] = from_float8 %0 {format="e4m3", scale=0.5}    ->   %2 = conv %0, #w {to="f32", format="e4m3", scale=0.5}
%2: f32[…] = conv %1, #w: float8<e4m3>

Weights must be of the same format, with a scale a result channel. What else reads %1 goes on to do so.
"""

from __future__ import annotations

from collections.abc import Callable

from edgec.ir.graph import Graph, Op
from edgec.ir.types import Float8

PRODUCTS = ("conv", "matmul")


def multiply_float8(graph: Graph, has_kernel: Callable[[Op], bool] = lambda _: True) -> bool:
    changed = False
    for op in graph.ops:
        if op.kind in PRODUCTS and has_kernel(op) and (made := _decoded(op)) is not None:
            op.inputs[0] = made.arg(0)
            op.attrs |= {"to": "f32", "format": made.attrs["format"], "scale": made.attrs["scale"]}
            changed = True
    if changed:
        read = graph.users().keys() | graph.output_values()
        graph.remove([op for op in graph.ops if op.kind == "from_float8" and op.result not in read])
    return changed


def _decoded(op: Op) -> Op | None:
    """What decodes the first operand, where weights have the same format and nothing else is multiplied."""
    made, weights = op.arg(0).op, op.arg(1)
    if made is None or made.kind != "from_float8" or op.attrs["to"] or weights.const is None:
        return None
    if any(v is op.arg(0) for v in op.inputs[1:]) or len(weights.type.encodings) != 1:
        return None
    encoding = weights.type.encodings[0]
    same = isinstance(encoding, Float8) and encoding.format == made.attrs["format"] and not encoding.group
    return made if same and encoding.axis in (None, _channels(op)) else None


def _channels(op: Op) -> int:
    """The axis of the weights that result channels lie along."""
    if op.kind == "conv":
        return 0
    rank = op.arg(1).type.rank
    return rank - 2 if op.attrs["trans_b"] else rank - 1
