"""Outputs of bytes as the real numbers that they stand for, where the model says by which scale and zero point.

A zero point is no signal: noise is that of the numbers, which does not depend on where bytes put their zero.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from edgec.ir.graph import Graph, Op, Value

Array = np.ndarray[Any, Any]
MOVES = ("reshape", "transpose", "slice", "max_pool")  # what they make has the scale of what they read


def real_outputs(graph: Graph) -> dict[str, Callable[[Array], Array]]:
    """By name, of the outputs of an imported graph that are quantised."""
    made = {name: _quantised(value) for name, value in graph.outputs}
    return {name: partial(_real, graph, op) for name, op in made.items() if op is not None}


def _quantised(value: Value) -> Op | None:
    """The `quantize` by constants that an output comes from."""
    op, moved = value.op, False
    while op is not None and op.kind in MOVES:
        op, moved = op.arg(0).op, True
    if op is None or op.kind != "quantize" or any(op.arg(i).const is None for i in (1, 2)):
        return None
    return None if moved and op.attrs["axis"] != -1 else op


def _real(graph: Graph, op: Op, stored: Array) -> Array:
    axis = int(op.attrs["axis"])  # type: ignore[arg-type]
    shape = [-1 if i == axis else 1 for i in range(stored.ndim)] if axis >= 0 else []
    scale, zero = (graph.array(op.arg(i)).astype(np.float64).reshape(shape) for i in (1, 2))
    return (stored.astype(np.float64) - zero) * scale
