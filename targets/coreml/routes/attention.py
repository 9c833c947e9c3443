"""Attention: softmax(q kᵀ scale + mask) v, 0 where a query may look at nothing."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from edgec.ir.graph import Op
from edgec.targets.coreml.emission import LARGEST_HALF, Emission, Route, dtype_of
from edgec.targets.coreml.mil import Var

Array = np.ndarray[Any, Any]
AWAY = 30000.0  # a score so far below the others has no weight, and adding to it stays within halves


def _attention(e: Emission, op: Op) -> Var:
    a: Any = op.attrs
    q, heads = e.operand(op, 0), op.arg(0).type.dims[1]
    k, v = (_repeated(e, e.operand(op, i), heads) for i in (1, 2))
    dtype = dtype_of(q)
    scale, depth = float(a["scale"]), op.arg(0).type.dims[3]
    mask = op.inputs[3] if len(op.inputs) > 3 else None
    known = _known_mask(e, op, dtype)
    if (mask is not None or a["causal"]) and (known is None or not _all_see(known)):
        return e.mil("matmul", x=_masked(e, op, _scores(e, q, k, scale), known), y=v)
    if e.deployment.number >= 18:
        own = scale * math.sqrt(depth)  # MIL's scale is 1 / sqrt(depth)
        if not math.isclose(own, 1, rel_tol=1e-7):
            q = e.mil("mul", x=q, y=e.const(own, dtype))
        given = None if known is None else e.const(known)
        return e.mil("scaled_dot_product_attention", query=q, key=k, value=v, attn_mask=given)
    scores = _scores(e, q, k, scale)
    if known is not None and known.dtype == np.bool_:
        scores = e.mil("select", cond=e.const(known), a=scores, b=e.const(_lowest(dtype), dtype))
    elif known is not None:
        scores = e.mil("add", x=scores, y=e.const(known, dtype))
    return e.mil("matmul", x=e.mil("softmax", x=scores, axis=-1), y=v)


def _scores(e: Emission, q: Var, k: Var, scale: float) -> Var:
    """The query is scaled, not the products: these may be beyond halves."""
    scaled = q if scale == 1 else e.mil("mul", x=q, y=e.const(scale, dtype_of(q)))
    return e.mil("matmul", x=scaled, y=k, transpose_y=True)


def _lowest(dtype: str) -> float:
    return -LARGEST_HALF if dtype == "f16" else float(np.finfo(np.float32).min)


def _causal(op: Op) -> Array:
    return np.tril(np.ones((op.arg(0).type.dims[2], op.arg(1).type.dims[2]), np.bool_))


def _known_mask(e: Emission, op: Op, dtype: str) -> Array | None:
    """The mask as a constant, with what causality forbids: bools, or numbers to add. None where it is no constant."""
    given = e.array(op, 3)
    if given is None and len(op.inputs) > 3 and op.inputs[3] is not None:
        return None
    causal = _causal(op)
    if given is None:
        return causal if op.attrs["causal"] else None
    # MIL's operator broadcasts a mask over batch and heads alone
    given = np.broadcast_to(given, np.broadcast_shapes(given.shape, causal.shape))
    allowed = causal if op.attrs["causal"] else np.ones_like(causal)
    if given.dtype == np.bool_:
        return np.asarray(given & allowed)
    added = np.where(allowed, given, -np.inf)
    if dtype == "f16":
        added = np.where(added == -np.inf, added, np.maximum(added, -AWAY))
    return np.asarray(added, np.float16 if dtype == "f16" else np.float32)


def _all_see(known: Array) -> bool:
    """Whether every query has something to look at."""
    return bool((known if known.dtype == np.bool_ else known > -np.inf).any(-1).all())


def _masked(e: Emission, op: Op, scores: Var, known: Array | None) -> Var:
    """Probabilities where a query may have nothing to look at. What may not be looked at gets the lowest finite score
    and then the factor 0: a row of -inf alone would be NaN."""
    dtype = dtype_of(scores)
    lowest = e.const(_lowest(dtype), dtype)
    mask = op.arg(3)
    causal = e.const(_causal(op)) if op.attrs["causal"] and known is None else None
    given = e.value(mask) if known is None else e.const(known)
    if mask.type.dtype == "bool":
        allowed = given if causal is None else e.mil("logical_and", x=given, y=causal)
        scores = e.mil("select", cond=allowed, a=scores, b=lowest)
    else:
        scores = e.mil("add", x=scores, y=given)
        if causal is not None:
            scores = e.mil("select", cond=causal, a=scores, b=lowest)
        allowed = e.mil("greater", x=scores, y=lowest)
        scores = e.mil("maximum", x=scores, y=lowest)
    return e.mil("mul", x=e.mil("softmax", x=scores, axis=-1), y=e.cast(allowed, dtype))


def _repeated(e: Emission, x: Var, heads: int) -> Var:
    """Key and value heads, each for as many query heads as share it."""
    b, own, n, d = (int(s) for s in x.shape)
    if own == heads:
        return x
    apart = e.mil("reshape", x=x, shape=[b, own, 1, n, d])
    return e.mil("reshape", x=e.mil("tile", x=apart, reps=[1, 1, heads // own, 1, 1]), shape=[b, heads, n, d])


ROUTES: dict[str, Route] = {"attention": _attention}
