"""Moves an element-wise activation into the conv, matmul or add that makes its operand.

%1 = conv %x, #w                   %2 = conv %x, #w {act="clip:0.0:6.0"}
%2 = clip %1 {lo=0.0, hi=6.0}  ->
"""

from __future__ import annotations

import math

from edgec.ir.graph import Graph, Op, Value

_HOSTS = ("conv", "conv_transpose", "matmul", "add")
_PLAIN = ("relu", "hard_swish", "silu", "sigmoid", "gelu", "gelu_tanh", "tanh")


def fuse_activation(graph: Graph) -> bool:
    changed = False
    users = graph.users()
    leaving = graph.output_values()
    kept: list[Op] = []
    renamed: dict[Value, Value] = {}
    for op in graph.ops:
        op.inputs = [renamed.get(v, v) if v is not None else None for v in op.inputs]
        kept.append(op)
        act = activation_name(op)
        if not act:
            continue
        source = op.arg(0)
        host = source.op
        if host is None or host.kind not in _HOSTS or host.attrs["act"] or source in leaving or len(users[source]) != 1:
            continue
        if source.type.dtype != "f32":
            continue
        host.attrs = {**host.attrs, "act": act}
        kept.pop()
        source.origin = None  # it is another value from now on: that of `op`
        renamed[op.result] = source
        users[source] = users.get(op.result, [])
        if op.result in leaving:
            leaving.add(source)
        changed = True
    graph.ops = kept
    graph.replace_leaving(renamed)
    return changed


def activation_name(op: Op) -> str:
    """The name that stands in `act`, or nothing."""
    if op.kind in _PLAIN:
        return op.kind
    if op.kind == "clip":
        lo, hi = float(op.attrs["lo"]), float(op.attrs["hi"])  # type: ignore[arg-type]
        return "" if math.isnan(lo) or math.isnan(hi) else f"clip:{lo!r}:{hi!r}"
    if op.kind == "hard_sigmoid":
        alpha, beta = float(op.attrs["alpha"]), float(op.attrs["beta"])  # type: ignore[arg-type]
        return "hard_sigmoid" if abs(alpha - 1 / 6) < 1e-6 and beta == 0.5 else ""
    return ""
