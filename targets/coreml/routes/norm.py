"""Softmax and norms."""

from __future__ import annotations

from typing import Any

import numpy as np

from edgec.ir.graph import Op, Value
from edgec.targets.coreml.emission import Emission, Route, dtype_of
from edgec.targets.coreml.mil import Var
from edgec.targets.coreml.ranks import along, held, reshaped


def _softmax(e: Emission, op: Op) -> Var:
    dims = op.result.type.dims
    x, axis = along(e, e.held(op.arg(0)), dims, int(op.attrs["axis"]))  # type: ignore[arg-type]
    return reshaped(e, e.mil("softmax", x=x, axis=axis), held(dims))


def _log_softmax(e: Emission, op: Op) -> Var:
    """x - max - log(sum(exp(x - max))): the logarithm of a softmax is that of 0 from -104 on. The logarithm of the sum
    lies between 0 and that of the length, so that halves round nothing large."""
    dims = op.result.type.dims
    x, axis = along(e, e.held(op.arg(0)), dims, int(op.attrs["axis"]))  # type: ignore[arg-type]
    shifted = e.mil("sub", x=x, y=e.mil("reduce_max", x=x, axes=[axis], keep_dims=True))
    total = e.mil("reduce_log_sum_exp", x=shifted, axes=[axis], keep_dims=True)
    return reshaped(e, e.mil("sub", x=shifted, y=total), held(dims))


def _normalised(
    e: Emission, x: Var, axes: list[int], eps: float, gamma: Value | None = None, beta: Value | None = None
) -> Var:
    """MIL's layer norm. An epsilon that halves lose is a float, as are scale and shift with it; below iOS 17, where all
    have the dtype of x, the norm is computed in floats then."""
    dtype = dtype_of(x)
    within = dtype == "f32" or abs(float(np.float16(eps)) - eps) <= eps / 64
    taken = dtype if within else "f32"
    scale, shift = (None if v is None else e.value(v, taken) for v in (gamma, beta))
    if scale is None and beta is not None:
        scale = e.const(np.ones(beta.type.dims), taken)
    operand = x if within or e.deployment.number >= 17 else e.cast(x, "f32")
    epsilon = e.as_dtype(np.asarray(eps), taken)
    y = e.mil("layer_norm", x=operand, axes=axes, gamma=scale, beta=shift, epsilon=epsilon)
    return e.cast(y, dtype)


def _layer_norm(e: Emission, op: Op) -> Var:
    """Scale and shift are the operator's where they are constants."""
    a: Any = op.attrs
    x, given = e.operand(op, 0), [*op.inputs[1:], None, None]
    axes = list(range(a["axis"], op.result.type.rank))
    if all(v is None or v.const is not None for v in given):
        return _normalised(e, x, axes, a["eps"], given[0], given[1])
    y, gamma, beta = _normalised(e, x, axes, a["eps"]), e.optional(op, 1), e.optional(op, 2)
    y = y if gamma is None else e.mil("mul", x=y, y=gamma)
    return y if beta is None else e.mil("add", x=y, y=beta)


def _rms_norm(e: Emission, op: Op) -> Var:
    """x / sqrt(mean(x²) + eps). In halves squares overflow from 256 on; there it is the first half of the layer norm of
    x beside -x, whose mean is 0 and whose variance is mean(x²)."""
    a: Any = op.attrs
    x, rank = e.operand(op, 0), op.result.type.rank
    axes = list(range(a["axis"], rank))
    if dtype_of(x) == "f16":
        away = e.mil("mul", x=x, y=e.const(-1.0, "f16"))
        both = _normalised(e, e.mil("concat", values=[x, away], axis=rank - 1), axes, a["eps"])
        y = e.mil("slice_by_index", x=both, begin=[0] * rank, end=list(op.result.type.dims))
    else:
        mean = e.mil("reduce_mean", x=e.mil("mul", x=x, y=x), axes=axes, keep_dims=True)
        y = e.mil("mul", x=x, y=e.mil("rsqrt", x=mean, epsilon=np.float32(a["eps"])))
    gamma = e.optional(op, 1)
    return y if gamma is None else e.mil("mul", x=y, y=gamma)


ROUTES: dict[str, Route] = {
    "softmax": _softmax,
    "log_softmax": _log_softmax,
    "layer_norm": _layer_norm,
    "rms_norm": _rms_norm,
}
