"""Rounding of weights to int8 or fewer bits, as functions on arrays: w[n, k] of n result channels, one scale each, or
scale[n, k] where groups of columns have their own; weights are in [-top, top]. Groups of channels with rows of their
own may be rounded together, as w[g, n, k] with scale[g, n, 1 or k]: a depthwise convolution has as many as channels.

The error that counts is that of the products x w^T over real rows x[m, k]. With H = x^T x / m it is the sum of e H e^T
over the channels' rounding errors e, so that rows are added up once and a layer of any number of them costs the same.

Rounding to the nearest ignores how columns of x belong together. `gptq` rounds one column after the other and moves
what is left into those to come (E. Frantar et al., "GPTQ", 2022). `adaround` chooses for every weight the step below or
above it (M. Nagel et al., "Up or Down? Adaptive Rounding for Post-Training Quantization", 2020): not by gradients of a
soft rounding but by coordinate descent, which never raises the error (K. Behdin et al., "QuantEase", 2023).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]

TOP = 127  # of int8
SHRINKS = np.linspace(1.0, 0.5, 51)  # of a channel's scale that are tried
DAMPING = 0.05  # of the mean diagonal of H is added to it: what the rows hardly show counts a little, too
BLOCK = 64  # columns whose effect on the others is added at once
SWEEPS = 6  # of coordinate descent at most
TINY = 1e-30


def choose_scale(w: Array, importance: Array | None = None, top: int = TOP) -> Array:
    """The scale of each channel, float32, with the least squared error among shrunk ones: a few large weights may be
    clamped for the sake of the others. `importance[k]`: how much a column's error counts, as the diagonal of H says."""
    w = np.asarray(w, np.float64)
    full = np.abs(w).max(axis=1, initial=0.0) / top
    full = np.where(full > 0.0, full, 1.0 / top)
    best, least = full.copy(), np.full(len(w), np.inf)
    for shrink in SHRINKS:
        scale = full * shrink
        error = (np.clip(np.rint(w / scale[:, None]), -top, top) * scale[:, None] - w) ** 2
        total = error.sum(axis=1) if importance is None else error @ importance
        better = total < least * (1.0 - 1e-9)
        best[better], least[better] = scale[better], total[better]
    return best.astype(np.float32)


def round_nearest(w: Array, scale: Array, top: int = TOP) -> Array:
    """int8[.., n, k]."""
    return np.clip(np.rint(np.asarray(w, np.float64) / _columns(scale, w)), -top, top).astype(np.int8)


def damping_for(rows: int, k: int) -> float:
    """More for few rows: they leave directions free, into which errors would be moved, and other rows would meet them.
    Measured by the error on held-out rows, from 10 columns a row to 14 rows a column."""
    return min(1.0, 0.02 + 0.25 * k / max(rows, 1))


def gptq(w: Array, scale: Array, hessian: Array, damping: float = DAMPING, top: int = TOP) -> Array:
    """int8[.., n, k]."""
    return gptq_to(lambda v: np.clip(np.rint(v), -top, top), w, scale, hessian, damping).astype(np.int8)


def gptq_to(
    nearest: Callable[[Array], Array], w: Array, scale: Array, hessian: Array, damping: float = DAMPING
) -> Array:
    """Numbers [.., n, k] of any format, in steps of the scale, of which `nearest` finds the one that is nearest.
    Columns that count most are rounded first, while there are many left to make up for them."""
    order = np.argsort(-_diagonal(hessian), axis=-1, kind="stable")
    upper = _inverse_root(_ordered(_damped(hessian, damping), order))
    # [.., k, n]: a column of weights is contiguous
    left = np.take_along_axis(_turned(np.asarray(w, np.float64)), order[..., None], axis=-2)
    steps = np.take_along_axis(_turned(np.broadcast_to(_columns(scale, w), w.shape)), order[..., None], axis=-2)
    stored = np.empty_like(left)
    k = left.shape[-2]
    for first in range(0, k, BLOCK):
        last = min(first + BLOCK, k)
        errors = np.empty((*left.shape[:-2], last - first, left.shape[-1]))
        for j in range(first, last):
            stored[..., j, :] = nearest(left[..., j, :] / steps[..., j, :])
            lost = (left[..., j, :] - stored[..., j, :] * steps[..., j, :]) / upper[..., j, j, None]
            left[..., j + 1 : last, :] -= upper[..., j, j + 1 : last, None] * lost[..., None, :]
            errors[..., j - first, :] = lost
        left[..., last:, :] -= _turned(upper[..., first:last, last:]) @ errors
    back = np.empty_like(stored)
    np.put_along_axis(back, order[..., None], stored, axis=-2)
    return np.ascontiguousarray(_turned(back))


def adaround(
    w: Array, scale: Array, hessian: Array, start: Array | None = None, damping: float = DAMPING, top: int = TOP
) -> Array:
    """int8[.., n, k], each the step below or above its weight, or that of `start` (if nothing else is given, the
    nearest) where it is another one. The error, damping included, is at most that of `start`."""
    h = _damped(hessian, damping)
    columns = _columns(scale, w)
    wanted = _turned(np.asarray(w, np.float64) / columns)
    # of steps, in a channel's largest
    sizes = _turned(np.broadcast_to(columns / columns.max(axis=-1, keepdims=True), w.shape))
    stored = _turned(round_nearest(w, scale, top) if start is None else start).astype(np.float64, order="C")
    low = np.clip(np.minimum(np.floor(wanted), stored), -top, top)
    high = np.clip(np.maximum(np.ceil(wanted), stored), -top, top)
    slope = h @ ((stored - wanted) * sizes)  # half of the derivative of the error, in the channel's largest steps
    diagonal = _diagonal(h)[..., None]
    k = h.shape[-1]
    for _ in range(SWEEPS):
        moved = 0
        for first in range(0, k, BLOCK):
            block = slice(first, min(first + BLOCK, k))
            inside, before = slope[..., block, :].copy(), stored[..., block, :].copy()
            for j in range(block.start, block.stop):
                # the least of a parabola over whole steps is next to its real one
                best = stored[..., j, :] - inside[..., j - first, :] / (diagonal[..., j, :] * sizes[..., j, :])
                found = np.minimum(np.maximum(np.rint(best), low[..., j, :]), high[..., j, :])
                change = (found - stored[..., j, :]) * sizes[..., j, :]
                if change.any():
                    inside += h[..., block, j, None] * change[..., None, :]
                    stored[..., j, :] = found
            change = (stored[..., block, :] - before) * sizes[..., block, :]
            if change.any():
                slope += h[..., :, block] @ change
                moved += int(np.count_nonzero(change))
        if not moved:
            break
    return np.ascontiguousarray(_turned(stored)).astype(np.int8)


def output_error(w: Array, stored: Array, scale: Array, hessian: Array) -> Array:
    """Mean squared error of each channel's products."""
    error = stored.astype(np.float64) * _columns(scale, w) - w
    return np.asarray(np.einsum("nk,nk->n", error @ hessian, error))


def compensated(w: Array, hessian: Array, drift: Array, damping: float | Array = DAMPING) -> Array:
    """Weights that make up for rows that are not what they should be: rows x are there instead of x', and
    `drift`[.., n, k] is the mean of (x' w^T - x w^T)^T x. What `gptq` and `adaround` round then lies nearest to x' w^T.
    `damping` may be one for each group."""
    return np.asarray(w + _turned(np.linalg.solve(_damped(hessian, damping), _turned(np.asarray(drift, np.float64)))))


def corrected_bias(
    bias: Array | None, w: Array, stored: Array, scale: Array, mean: Array, wanted_mean: Array | None = None
) -> Array:
    """The bias with which the mean of each channel's sum is what it would be with `w` (M. Nagel et al., "Data-Free
    Quantization", 2019, section 4.2). `mean`, [k] or [n, k], is that of the rows that the stored weights meet,
    `wanted_mean` that of the rows in the float model, when they differ. Float32[n]."""
    should = (np.asarray(w, np.float64) * (mean if wanted_mean is None else wanted_mean)).sum(axis=1)
    found = (stored.astype(np.float64) * _columns(scale, w) * mean).sum(axis=1)
    return np.asarray((0.0 if bias is None else bias) + should - found, np.float32)


def trusted_mean(samples: Array) -> Array:
    """Means over the first axis, smaller where chance explains them: times m^2 / (m^2 + its squared standard error)."""
    mean = samples.mean(axis=0)
    if len(samples) < 2:
        return np.zeros_like(mean)
    chance = samples.var(axis=0, ddof=1) / len(samples)
    return np.asarray(mean**3 / np.maximum(mean**2 + chance, TINY))


def _columns(scale: Array, w: Array) -> Array:
    """One scale a channel, as a column beside the weights, or one a weight."""
    wide = np.asarray(scale, np.float64)
    return wide if wide.ndim == w.ndim else wide[..., None]


def _damped(hessian: Array, damping: float | Array) -> Array:
    h = np.array(hessian, np.float64)
    k = np.arange(h.shape[-1])
    h[..., k, k] += np.maximum(damping * _diagonal(h).mean(axis=-1), TINY)[..., None]
    return h


def _ordered(h: Array, order: Array) -> Array:
    """Rows and columns."""
    rows = np.take_along_axis(h, order[..., :, None], axis=-2)
    return np.take_along_axis(rows, order[..., None, :], axis=-1)


def _diagonal(h: Array) -> Array:
    return np.asarray(np.diagonal(h, axis1=-2, axis2=-1))


def _turned(a: Array) -> Array:
    return np.swapaxes(a, -1, -2)


def _inverse_root(h: Array) -> Array:
    """Upper U with U^T U = H^-1: its rows say what the rounding of a column leaves to those behind it. Made from the
    Cholesky root of H in the opposite order, which needs no inverse but that of a triangle."""
    return _triangle_inverse(np.linalg.cholesky(h[..., ::-1, ::-1]))[..., ::-1, ::-1]


def _triangle_inverse(lower: Array) -> Array:
    """By halves, as products of matrices: a sixth of the work of an inverse that knows nothing of zeros."""
    k = lower.shape[-1]
    if k <= BLOCK:
        return np.tril(np.linalg.inv(lower))
    half = k // 2
    inverse = np.zeros_like(lower)
    inverse[..., :half, :half] = _triangle_inverse(lower[..., :half, :half])
    inverse[..., half:, half:] = _triangle_inverse(lower[..., half:, half:])
    inverse[..., half:, :half] = -inverse[..., half:, half:] @ (lower[..., half:, :half] @ inverse[..., :half, :half])
    return inverse
