"""The few numbers that stand for many: exactly where there are no more of them, else by k-means."""

from __future__ import annotations

from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]
ROUNDS = 20  # of Lloyd's iteration
LEAST_IN_HALVES = 2.0**-12  # the smallest steps of halves are 2^-24
LARGEST_HALF = 65504.0
FEW = 64  # entries
BINS = 4  # a centre, of the density that they begin with
CHUNK = 1 << 14  # vectors whose distances are held at once


def clusters(numbers: Array, inside: Array | None, count: int, whole: bool = False) -> tuple[Array, Array]:
    """Table [count, 1] and indices of the nearest entry; 0 where `inside` says that a number does not count. Of more
    numbers than `count`, k-means finds halves (or floats where those do not do), or whole numbers from -127 to 127."""
    flat = np.sort(numbers, axis=None) if inside is None else np.sort(numbers[inside])
    first = np.concatenate([[True], flat[1:] != flat[:-1]]) if flat.size else np.zeros(0, bool)
    if np.count_nonzero(first) > count or (whole and np.any(flat != np.rint(flat))):
        table = _lloyd(flat, count)
        table = np.unique(np.clip(np.rint(table), -127, 127) if whole else _as_halves(table))
    else:
        table = flat[first]
    indices = _indices(table.astype(np.float32), numbers)
    if inside is not None:
        indices[~inside] = 0
    return _filled(table[:, None], count), indices


def _indices(table: Array, numbers: Array) -> Array:
    """Of the nearest entry of a sorted table, which numbers of the table are themselves."""
    middle = ((table[1:].astype(np.float64) + table[:-1]) / 2).astype(np.float32)
    edges = np.minimum(middle, np.nextafter(table[1:], np.float32(-np.inf)))
    if len(table) > FEW:
        return np.searchsorted(edges, numbers.reshape(-1)).astype(np.uint8).reshape(numbers.shape)
    indices = np.zeros(numbers.shape, np.uint8)
    for edge in edges:  # a few comparisons of all take less time than a search for each
        indices += numbers > edge
    return indices


def _filled(table: Array, count: int) -> Array:
    """Entries that nothing points at are the last one."""
    last = table[-1:] if len(table) else np.zeros((1, table.shape[1]), np.float32)
    return np.concatenate([table, np.repeat(last, count - len(table), axis=0)]).astype(np.float32)


def _as_halves(centres: Array) -> Array:
    """The nearest halves, where these are fine enough and large enough."""
    largest = np.abs(centres).max()
    return centres.astype(np.float16 if LEAST_IN_HALVES <= largest < LARGEST_HALF else np.float32).astype(np.float32)


def _lloyd(ordered: Array, count: int) -> Array:
    """Centres of k-means over sorted numbers (Lloyd, Least squares quantization in PCM). They begin as dense as the
    cube root of the numbers' density, which is best for many (Panter, Dite, Quantization distortion, 1951)."""
    sums = np.concatenate([[0.0], np.cumsum(ordered, dtype=np.float64)])
    edges = np.linspace(float(ordered[0]), float(ordered[-1]), BINS * count + 1)
    density = np.cbrt(np.diff(np.searchsorted(ordered, edges[1:-1]), prepend=0, append=len(ordered)))
    upto = np.concatenate([[0.0], np.cumsum(density)])
    centres = np.interp((np.arange(count) + 0.5) / count * upto[-1], upto, edges)
    ends = np.zeros(0, np.int64)
    for _ in range(ROUNDS):
        edges = (centres[1:] + centres[:-1]) / 2
        found = np.searchsorted(ordered, edges)
        if np.array_equal(found, ends):
            break
        ends = found
        bounds = np.concatenate([[0], ends, [len(ordered)]])
        many = np.diff(bounds)
        centres = np.where(many > 0, np.diff(sums[bounds]) / np.maximum(many, 1), centres)
    return np.asarray(centres)


def vector_clusters(numbers: Array, along: int, length: int, count: int, seed: int) -> tuple[Array, Array]:
    """Table [count, length] and indices, which have so many times fewer places along an axis. k-means starts at
    vectors that the seed chooses."""
    shape = numbers.shape
    split = numbers.reshape(*shape[:along], shape[along] // length, length, *shape[along + 1 :])
    vectors = np.moveaxis(split, along + 1, -1)
    flat = np.ascontiguousarray(vectors.reshape(-1, length))
    distinct, indices = np.unique(flat, axis=0, return_inverse=True)
    if len(distinct) > count:
        centres = distinct[np.random.default_rng(seed).choice(len(distinct), count, replace=False)].astype(np.float64)
        for _ in range(ROUNDS):
            indices = _nearest(flat, centres)
            many = np.bincount(indices, minlength=count)
            sums = np.stack([np.bincount(indices, flat[:, i], count) for i in range(length)], axis=1)
            centres = np.where(many[:, None] > 0, sums / np.maximum(many, 1)[:, None], centres)
        distinct = _as_halves(centres)
        indices = _nearest(flat, distinct.astype(np.float64))
    return _filled(distinct, count), indices.astype(np.uint8).reshape(vectors.shape[:-1])


def _nearest(flat: Array, centres: Array) -> Array:
    squares = (centres**2).sum(1)
    parts = [(squares - 2 * (flat[i : i + CHUNK] @ centres.T)).argmin(1) for i in range(0, len(flat), CHUNK)]
    return np.concatenate(parts)
