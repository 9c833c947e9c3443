"""Rounding of weights to int8 or fewer bits, as functions on arrays: w[n, k] of n result channels, one scale each, or
scale[n, k] where groups of columns have their own; weights are in [-top, top].

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
    """int8[n, k]."""
    return np.clip(np.rint(_steps(w, scale)), -top, top).astype(np.int8)


def damping_for(rows: int, k: int) -> float:
    """More for few rows: they leave directions free, into which errors would be moved, and other rows would meet them.
    Measured by the error on held-out rows, from 10 columns a row to 14 rows a column."""
    return min(1.0, 0.02 + 0.25 * k / max(rows, 1))


def gptq(w: Array, scale: Array, hessian: Array, damping: float = DAMPING, top: int = TOP) -> Array:
    """int8[n, k]."""
    return gptq_to(lambda v: np.clip(np.rint(v), -top, top), w, scale, hessian, damping).astype(np.int8)


def gptq_to(
    nearest: Callable[[Array], Array], w: Array, scale: Array, hessian: Array, damping: float = DAMPING
) -> Array:
    """Numbers [n, k] of any format, in steps of the scale, of which `nearest` finds the one that is nearest. Columns
    that count most are rounded first, while there are many left to make up for them."""
    order = np.argsort(-np.diagonal(hessian), kind="stable")
    upper = _inverse_root(_damped(hessian, damping)[np.ix_(order, order)])
    left = np.asarray(w, np.float64).T[order]  # [k, n]: a column of weights is contiguous
    steps = np.broadcast_to(_columns(scale), w.shape).T[order]
    stored = np.empty_like(left)
    for first in range(0, len(left), BLOCK):
        last = min(first + BLOCK, len(left))
        errors = np.empty((last - first, left.shape[1]))
        for j in range(first, last):
            stored[j] = nearest(left[j] / steps[j])
            errors[j - first] = (left[j] - stored[j] * steps[j]) / upper[j, j]
            left[j + 1 : last] -= np.outer(upper[j, j + 1 : last], errors[j - first])
        left[last:] -= upper[first:last, last:].T @ errors
    back = np.empty_like(stored)
    back[order] = stored
    return np.ascontiguousarray(back.T)


def adaround(
    w: Array, scale: Array, hessian: Array, start: Array | None = None, damping: float = DAMPING, top: int = TOP
) -> Array:
    """int8[n, k], each the step below or above its weight, or that of `start` (if nothing else is given, the nearest)
    where it is another one. The error, damping included, is at most that of `start`."""
    h = _damped(hessian, damping)
    wanted = _steps(w, scale).T
    columns = _columns(scale)
    sizes = np.broadcast_to(columns / columns.max(axis=1, keepdims=True), w.shape).T  # of steps, in a channel's largest
    stored = (round_nearest(w, scale, top) if start is None else start).astype(np.float64).T.copy()
    low = np.clip(np.minimum(np.floor(wanted), stored), -top, top)
    high = np.clip(np.maximum(np.ceil(wanted), stored), -top, top)
    slope = h @ ((stored - wanted) * sizes)  # half of the derivative of the error, in the channel's largest steps
    diagonal = np.diagonal(h)
    for _ in range(SWEEPS):
        moved = 0
        for first in range(0, len(h), BLOCK):
            block = slice(first, min(first + BLOCK, len(h)))
            inside, before = slope[block].copy(), stored[block].copy()
            for j in range(block.start, block.stop):
                # the least of a parabola over whole steps is next to its real one
                found = np.clip(np.rint(stored[j] - inside[j - first] / (diagonal[j] * sizes[j])), low[j], high[j])
                change = (found - stored[j]) * sizes[j]
                if change.any():
                    inside += np.outer(h[block, j], change)
                    stored[j] = found
            change = (stored[block] - before) * sizes[block]
            if change.any():
                slope += h[:, block] @ change
                moved += int(np.count_nonzero(change))
        if not moved:
            break
    return np.ascontiguousarray(stored.T).astype(np.int8)


def output_error(w: Array, stored: Array, scale: Array, hessian: Array) -> Array:
    """Mean squared error of each channel's products."""
    error = stored.astype(np.float64) * _columns(scale) - w
    return np.asarray(np.einsum("nk,nk->n", error @ hessian, error))


def compensated(w: Array, hessian: Array, drift: Array, damping: float = DAMPING) -> Array:
    """Weights that make up for rows that are not what they should be: rows x are there instead of x', and
    `drift`[n, k] is the mean of (x' w^T - x w^T)^T x. What `gptq` and `adaround` round then lies nearest to x' w^T."""
    return np.asarray(w + np.linalg.solve(_damped(hessian, damping), np.asarray(drift, np.float64).T).T)


def corrected_bias(
    bias: Array | None, w: Array, stored: Array, scale: Array, mean: Array, wanted_mean: Array | None = None
) -> Array:
    """The bias with which the mean of each channel's sum is what it would be with `w` (M. Nagel et al., "Data-Free
    Quantization", 2019, section 4.2). `mean`, [k] or [n, k], is that of the rows that the stored weights meet,
    `wanted_mean` that of the rows in the float model, when they differ. Float32[n]."""
    should = (np.asarray(w, np.float64) * (mean if wanted_mean is None else wanted_mean)).sum(axis=1)
    found = (stored.astype(np.float64) * _columns(scale) * mean).sum(axis=1)
    return np.asarray((0.0 if bias is None else bias) + should - found, np.float32)


def trusted_mean(samples: Array) -> Array:
    """Means over the first axis, smaller where chance explains them: times m^2 / (m^2 + its squared standard error)."""
    mean = samples.mean(axis=0)
    if len(samples) < 2:
        return np.zeros_like(mean)
    chance = samples.var(axis=0, ddof=1) / len(samples)
    return np.asarray(mean**3 / np.maximum(mean**2 + chance, TINY))


def _steps(w: Array, scale: Array) -> Array:
    """Weights in steps of their channel."""
    return np.asarray(w, np.float64) / _columns(scale)


def _columns(scale: Array) -> Array:
    """One scale a channel, as a column beside the weights, or one a weight."""
    wide = np.asarray(scale, np.float64)
    return wide if wide.ndim == 2 else wide[:, None]


def _damped(hessian: Array, damping: float) -> Array:
    h = np.array(hessian, np.float64)
    h[np.diag_indices_from(h)] += max(damping * float(np.diagonal(h).mean()), TINY)
    return h


def _inverse_root(h: Array) -> Array:
    """Upper U with U^T U = H^-1: its rows say what the rounding of a column leaves to those behind it. Made from the
    Cholesky root of H in the opposite order, which needs no inverse but that of a triangle."""
    return _triangle_inverse(np.linalg.cholesky(h[::-1, ::-1]))[::-1, ::-1]


def _triangle_inverse(lower: Array) -> Array:
    """By halves, as products of matrices: a sixth of the work of an inverse that knows nothing of zeros."""
    k = len(lower)
    if k <= BLOCK:
        return np.tril(np.linalg.inv(lower))
    half = k // 2
    inverse = np.zeros_like(lower)
    inverse[:half, :half] = _triangle_inverse(lower[:half, :half])
    inverse[half:, half:] = _triangle_inverse(lower[half:, half:])
    inverse[half:, :half] = -inverse[half:, half:] @ (lower[half:, :half] @ inverse[:half, :half])
    return inverse
