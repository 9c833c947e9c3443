"""LSTM, GRU and RNN by constant weights become what they are made of: a matmul for what inputs add to the gates of all
steps, and a recurrence in one direction, whose weights are the state's alone.

%1, %2, %3 = lstm %0, #w, #r, #b      ->   %4 = matmul %0, #w' {trans_b=true}
                                           %1, %2, %3 = lstm %4, -, #r, #b

Of two directions there are two of each, whose results stand beside one another. So weights are given formats one matrix
at a time, as those of matmuls are. Is in no pipeline of its own: precisions that encode weights run it.
"""

from __future__ import annotations

from edgec.ir.build import Builder
from edgec.ir.graph import Graph, Op, Value
from edgec.ir.ops.recurrent import GATES

LENGTHS = 4  # the operand that all directions share


def split_recurrent(graph: Graph) -> bool:
    changed = False
    read = graph.output_values().union(*(op.inputs for op in graph.ops))
    for op in list(graph.ops):
        if op.kind not in GATES or not _is_whole(op):
            continue
        b = Builder(graph, before=op)
        parts = [_one(b, op, k) for k in range(op.arg(2).type.dims[0])]
        for i, old in enumerate(op.results):
            if old not in read:
                continue
            beside = [part[i] for part in parts]
            graph.replace(old, beside[0] if len(beside) == 1 else b.op("concat", *beside, axis=0 if i else 1))
        graph.remove([op])
        changed = True
    return changed


def _is_whole(op: Op) -> bool:
    """Whether there is something to split, of floats by constants."""
    w, r = op.inputs[1], op.arg(2)
    if r.const is None or op.arg(0).type.dtype != "f32" or any(v.type.size == 0 for v in op.results):
        return False
    return r.type.dims[0] > 1 if w is None else w.const is not None and op.arg(0).type.size > 0


def _one(b: Builder, op: Op, k: int) -> list[Value]:
    """The results of direction k."""
    x, w = op.arg(0), op.inputs[1]
    directions, units, _ = op.arg(2).type.dims
    if w is None:
        gates = _part(b, x, 2, k * units, (k + 1) * units)
    else:
        gates = b.op("matmul", x, b.op("reshape", _part(b, w, 0, k, k + 1), shape=w.type.dims[1:]), trans_b=True)
    others = [
        v if v is None or i == LENGTHS else _part(b, v, 0, k, k + 1) for i, v in enumerate(op.inputs) if i > 1
    ]
    names = op.attrs["activations"]
    assert isinstance(names, tuple)
    each = len(names) // directions
    backwards = op.attrs["direction"] == "reverse" or k == 1
    attrs = {"direction": "reverse" if backwards else "forward", "activations": names[k * each : (k + 1) * each]}
    return b.ops(op.kind, gates, None, *others, **{**op.attrs, **attrs})


def _part(b: Builder, v: Value, axis: int, start: int, stop: int) -> Value:
    """From `start` on along an axis."""
    dims = v.type.dims
    if (start, stop) == (0, dims[axis]):
        return v
    starts = tuple(start if i == axis else 0 for i in range(len(dims)))
    stops = tuple(stop if i == axis else d for i, d in enumerate(dims))
    return b.op("slice", v, starts=starts, stops=stops, steps=(1,) * len(dims))
