"""Normalisations and attention."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from edgec.runtime.coreml.call import Call, axis_of, room
from edgec.runtime.coreml.ops_activation import channels, softmax
from edgec.runtime.coreml.ops_conv import product
from edgec.runtime.coreml.wire import Array


def _epsilon(call: Call, default: float) -> np.float32:
    return np.float32(call.number("epsilon", default))


def _scaled_by_channel(call: Call, y: Array) -> Array:
    if call.has("gamma"):
        y = y * channels(call.real("gamma"), y)
    return y + channels(call.real("beta"), y) if call.has("beta") else y


def _batch_norm(call: Call) -> Array:
    x = call.real("x")
    deviation = np.sqrt(channels(call.real("variance"), x) + _epsilon(call, 1e-5))
    return _scaled_by_channel(call, (x - channels(call.real("mean"), x)) / deviation)


def _normalised(x: Array, axes: tuple[int, ...], epsilon: np.float32) -> Array:
    centred = x - x.mean(axis=axes, keepdims=True)
    return np.asarray(centred / np.sqrt(np.square(centred).mean(axis=axes, keepdims=True) + epsilon))


def _instance_norm(call: Call) -> Array:
    x = call.real("x")
    return _scaled_by_channel(call, _normalised(x, tuple(range(2, x.ndim)), _epsilon(call, 1e-5)))


def _layer_norm(call: Call) -> Array:
    """gamma and beta have the sizes of the axes, in their order."""
    x = call.real("x")
    axes = tuple(axis_of(a, x.ndim) for a in call.integers("axes", list(range(x.ndim))))
    y = _normalised(x, axes, _epsilon(call, 1e-5))
    order = np.argsort(axes)
    for name in ("gamma", "beta"):
        if call.has(name):
            factor = call.real(name)
            if factor.shape != tuple(x.shape[a] for a in axes):
                raise ValueError(f"{name} has shape {list(factor.shape)}, axes {list(axes)} of x {list(x.shape)}")
            shaped = factor.transpose(order).reshape([s if a in axes else 1 for a, s in enumerate(x.shape)])
            y = y * shaped if name == "gamma" else y + shaped
    return y


def _l2_norm(call: Call) -> Array:
    x = call.real("x")
    axes = tuple(range(max(0, x.ndim - 3), x.ndim))
    return np.asarray(x / np.sqrt(np.square(x).sum(axis=axes, keepdims=True) + _epsilon(call, 1e-6)))


def _local_response_norm(call: Call) -> Array:
    """The window of channels has (size-1)//2 before and the rest behind."""
    x, size = call.real("x"), call.integer("size")
    if size < 1:
        raise ValueError(f"size is {size}")
    before = (size - 1) // 2
    room([x.shape[0], x.shape[1] + size - 1, *x.shape[2:]])
    squares = np.pad(np.square(x), [(0, 0), (before, size - 1 - before)] + [(0, 0)] * (x.ndim - 2))
    sums = np.lib.stride_tricks.sliding_window_view(squares, size, axis=1).sum(axis=-1)
    alpha, beta, k = call.number("alpha", 1e-4), call.number("beta", 0.75), call.number("k", 1.0)
    return np.asarray(x / np.power(np.float32(k) + np.float32(alpha / size) * sums, np.float32(beta)))


def _attention(call: Call) -> Array:
    query, key, value = call.real("query"), call.real("key"), call.real("value")
    scores = product(query, np.swapaxes(key, -1, -2)) / np.float32(math.sqrt(query.shape[-1]))
    if call.has("attn_mask"):
        mask = call.real("attn_mask")
        scores = np.where(mask, scores, np.float32(-np.inf)) if mask.dtype == np.bool_ else scores + mask
    return product(softmax(scores, scores.ndim - 1), value)


MEANINGS: dict[str, Callable[[Call], Array]] = {
    "batch_norm": _batch_norm,
    "instance_norm": _instance_norm,
    "layer_norm": _layer_norm,
    "l2_norm": _l2_norm,
    "local_response_norm": _local_response_norm,
    "scaled_dot_product_attention": _attention,
}
