"""Moves an element-wise activation into the conv, matmul or add that makes its operand.

%1 = conv %x, #w                   %2 = conv %x, #w {act="clip:0.0:6.0"}
%2 = clip %1 {lo=0.0, hi=6.0}  ->
"""

from __future__ import annotations

import math

from edgec.ir.graph import Graph, Op, Value

_HOSTS = ("conv", "conv_transpose", "matmul", "add")
_CLAMPS = ("relu", "clip")
_PLAIN = ("relu", "hard_swish", "silu", "sigmoid", "gelu", "gelu_tanh", "tanh")


# why an activation stays an operator of its own
REASONS = {
    "ACTIVATION_NO_HOST": "what makes its operand is not one of " + ", ".join(_HOSTS),
    "ACTIVATION_HOST_TAKEN": "what makes its operand ends with an activation already",
    "ACTIVATION_OPERAND_SHARED": "its operand is read elsewhere, too, or leaves the model",
    "ACTIVATION_NOT_FLOAT32": "activations are fused in float32 only",
}


def fuse_activation(graph: Graph, clamps: int = 0) -> bool:
    """`clamps` = 1: only those that bound the result, which integers can do as well."""
    changed = False
    users = graph.users()
    leaving = graph.output_values()
    kept: list[Op] = []
    renamed: dict[Value, Value] = {}
    for op in graph.ops:
        op.inputs = [renamed.get(v, v) if v is not None else None for v in op.inputs]
        kept.append(op)
        act = activation_name(op)
        if not act or refusal(op, users, leaving) or (clamps and op.kind not in _CLAMPS):
            continue
        source = op.arg(0)
        host = source.op
        assert host is not None
        host.attrs = {**host.attrs, "act": act}
        kept.pop()
        source.origin, source.scaled, source.name = None, None, ""  # it is another value from now on: that of `op`
        renamed[op.result] = source
        users[source] = users.get(op.result, [])
        if op.result in leaving:
            leaving.add(source)
        changed = True
    graph.ops = kept
    graph.replace_leaving(renamed)
    return changed


def refusal(op: Op, users: dict[Value, list[Op]], leaving: set[Value]) -> str:
    """Why the activation `op` is not fused, as a key of REASONS; nothing where it is."""
    source = op.arg(0)
    host = source.op
    if host is None or host.kind not in _HOSTS:
        return "ACTIVATION_NO_HOST"
    if host.attrs["act"]:
        return "ACTIVATION_HOST_TAKEN"
    if source in leaving or len(users[source]) != 1:
        return "ACTIVATION_OPERAND_SHARED"
    return "" if source.type.dtype == "f32" else "ACTIVATION_NOT_FLOAT32"


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
