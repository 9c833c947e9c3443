"""Puts the attention op in the place of matmul, softmax, matmul.

softmax(q @ k^T * scale + mask) @ v  ->  attention q, k, v, mask {scale}

The scale may stand on q, on k or on both; keys and values repeated for groups of query heads are taken once;
v^T @ softmax(…)^T is the transpose of the same.
"""

from __future__ import annotations

import math

from edgec.ir.build import Builder
from edgec.ir.graph import Graph, Op, Value
from edgec.passes.pattern import either, made_by, product, rewrite, scalar


def recognize_attention(graph: Graph) -> bool:
    return rewrite(graph, _attention)


def _attention(graph: Graph, op: Op) -> Value | None:
    if op.kind != "matmul" or op.attrs["act"] or len(op.inputs) > 2 or op.result.type.dtype != "f32":
        return None
    weights, v = op.arg(0), op.arg(1)
    softmax = made_by(weights, "softmax")
    flipped = softmax is None
    if flipped:
        # v^T @ weights^T: the result is transposed
        v, softmax = op.arg(0), made_by(op.arg(1) if op.attrs["trans_b"] else _turned(op.arg(1)), "softmax")
    if softmax is None or v.type.rank not in (3, 4) or softmax.attrs["axis"] != v.type.rank - 1:
        return None
    if len(graph.users()[softmax.result]) != 1 or softmax.result in graph.output_values():
        return None  # the weights are wanted themselves
    if flipped or op.attrs["trans_b"]:
        v = _turn(Builder(graph, before=op), v)
    made = _core(graph, op, softmax.arg(0), v)
    return _turn(Builder(graph, before=op), made) if made is not None and flipped else made


def _core(graph: Graph, op: Op, scores: Value, v: Value) -> Value | None:
    scores, mask = _unmasked(graph, op, scores)
    found = product(graph, scores)
    dot = made_by(found.over[0], "matmul") if len(found.over) == 1 and not found.under else None
    if dot is None or len(dot.inputs) > 2 or dot.result.type != scores.type:
        return None
    b = Builder(graph, before=op)
    q, q_scale = _unscaled(graph, dot.arg(0))
    k, k_scale = _unscaled(graph, dot.arg(1))
    if not dot.attrs["trans_b"]:
        k = _turn(b, k)
        k, again = _unscaled(graph, k)
        k_scale *= again
    rank = q.type.rank
    if not rank == k.type.rank == v.type.rank or rank not in (3, 4) or v.type.dims[:-1] != k.type.dims[:-1]:
        return None
    if q.type.dims[:-2] != k.type.dims[:-2]:
        return None
    result = (*q.type.dims[:-1], v.type.dims[-1])
    if rank == 3:
        q, k, v = (b.op("reshape", x, shape=(1, *x.type.dims)) for x in (q, k, v))
    else:
        k, v = _once(k, v)
    if mask is not None and mask.type.rank > 4:
        return None
    operands = [q, k, v] if mask is None else [q, k, v, mask]
    made = b.op("attention", *operands, scale=found.factor * q_scale * k_scale)
    return b.op("reshape", made, shape=result) if rank == 3 else made


def _unmasked(graph: Graph, op: Op, scores: Value) -> tuple[Value, Value | None]:
    """The scores before the mask, and the mask."""
    total = made_by(scores, "add")
    if total is not None:
        for inner, mask in either(total):
            plain = product(graph, inner)
            if len(plain.over) == 1 and made_by(plain.over[0], "matmul") and inner.type == scores.type:
                return inner, mask
    choice = made_by(scores, "where")
    if choice is not None and scalar(graph, choice.arg(2)) == -math.inf and choice.arg(1).type == scores.type:
        return choice.arg(1), choice.arg(0)
    if choice is not None and scalar(graph, choice.arg(1)) == -math.inf and choice.arg(2).type == scores.type:
        return choice.arg(2), Builder(graph, before=op).op("not", choice.arg(0))
    return scores, None


def _unscaled(graph: Graph, value: Value) -> tuple[Value, float]:
    found = product(graph, value)
    if found.under or len(found.over) != 1 or found.over[0].type != value.type:
        return value, 1.0
    return found.over[0], found.factor


def _order(value: Value) -> tuple[int, ...]:
    """The last two axes swapped."""
    rank = value.type.rank
    return (*range(rank - 2), rank - 1, rank - 2)


def _turned(value: Value) -> Value | None:
    """What the value is the transpose of, over its last two axes."""
    op = made_by(value, "transpose")
    return op.arg(0) if op is not None and op.attrs["perm"] == _order(value) else None


def _turn(b: Builder, value: Value) -> Value:
    """Transposed over the last two axes."""
    under = _turned(value)
    return under if under is not None else b.op("transpose", value, perm=_order(value))


def _once(k: Value, v: Value) -> tuple[Value, Value]:
    """Keys and values before they were repeated for every query head of a group, if both were."""
    first, second = _unrepeated(k), _unrepeated(v)
    if first is None or second is None or first.type.dims[:-1] != second.type.dims[:-1]:
        return k, v
    return first, second


def _unrepeated(value: Value) -> Value | None:
    """x[B,H,M,D] for reshape(broadcast_to(reshape(x, [B,H,1,M,D]), [B,H,R,M,D]), [B,H R,M,D])."""
    merged = made_by(value, "reshape")
    repeated = made_by(merged.arg(0), "broadcast_to") if merged is not None else None
    widened = made_by(repeated.arg(0), "reshape") if repeated is not None else None
    if repeated is None or widened is None or widened.arg(0).type.rank != 4 or repeated.result.type.rank != 5:
        return None
    x = widened.arg(0)
    batch, heads, keys, size = x.type.dims
    times = repeated.result.type.dims[2]
    fits = widened.result.type.dims == (batch, heads, 1, keys, size)
    fits &= repeated.result.type.dims == (batch, heads, times, keys, size)
    return x if fits and value.type.dims == (batch, heads * times, keys, size) else None
