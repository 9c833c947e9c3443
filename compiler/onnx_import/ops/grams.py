"""TfIdfVectorizer over integers: how often each n-gram of a pool stands in a row, with every skip that is allowed.

For grams of n items and a skip of s, items i, i + s+1, … i + (n-1)(s+1) are compared with all grams at once:

    count[row, gram] = sum over i of and over k of x[row, i + k(s+1)] == gram[k]
"""

from __future__ import annotations

from functools import reduce

import numpy as np

from edgec.ir.graph import Value
from edgec.onnx_import.items import Item
from edgec.onnx_import.node import Node, Table

MODES = ("TF", "IDF", "TFIDF")


def tf_idf(node: Node) -> list[Item]:
    x, mode = node.value(0), node.text("mode", "")
    shape = node.shape(x)
    pool, starts, places = (node.integers(n) for n in ("pool_int64s", "ngram_counts", "ngram_indexes"))
    least, most, skips = (node.integer(n, -1) for n in ("min_gram_length", "max_gram_length", "max_skip_count"))
    if node.texts("pool_strings"):
        node.refuse("has a pool of strings; integers are supported")
    if pool is None or not places or not starts or mode not in MODES or not 1 <= least <= most or skips < 0:
        node.broken(f"needs a pool, ngram_counts, ngram_indexes, a mode of {', '.join(MODES)}, and "
                    "1 <= min_gram_length <= max_gram_length, 0 <= max_skip_count")  # fmt: skip
    if len(shape) not in (1, 2):
        node.broken(f"takes {x.type}; legal are one row of items, or rows")
    grams = _pools(node, pool, starts, len(places))
    x = node.reshape(node.cast(x, "i64"), (1, *shape) if len(shape) == 1 else shape)
    # grams of a length that is not asked for are never found
    counts = [_counted(node, x, g, skips if least <= len(g[0]) <= most else -1) for g in grams]
    y = _placed(node, node.concat(counts, 1), np.array(places))
    if mode == "IDF":
        y = node.cast(node.op("gt", y, node.like(0, y)), "f32")
    weights = node.numbers("weights")
    if weights and mode != "TF":
        if len(weights) != len(places):
            node.broken(f"has {len(weights)} weights for {len(places)} n-grams")
        scale = np.zeros(node.shape(y)[1], np.float32)
        scale[np.array(places)] = weights
        y = node.op("mul", y, node.constant(scale))
    return [node.reshape(y, node.shape(y)[len(shape) == 1 :])]


def _pools(node: Node, pool: tuple[int, ...], starts: tuple[int, ...], count: int) -> list[np.ndarray]:
    """The grams of each length, [grams, length], in the order of the pool."""
    ends = (*starts[1:], len(pool))
    if starts[0] != 0 or any(not 0 <= a <= b for a, b in zip(starts, ends, strict=True)):
        node.broken("has ngram_counts that do not ascend from 0 to the pool's end")
    found = []
    for n, (start, end) in enumerate(zip(starts, ends, strict=True), 1):
        if (end - start) % n:
            node.broken(f"has {end - start} items in its pool of {n}-grams")
        if end > start:
            found.append(np.array(pool[start:end], np.int64).reshape(-1, n))
    if sum(len(g) for g in found) != count:
        node.broken(f"has {count} ngram_indexes for {sum(len(g) for g in found)} n-grams")
    return found


def _counted(node: Node, x: Value, grams: np.ndarray, skips: int) -> Value:
    """How often each gram stands in each row, [rows, grams]."""
    rows, length = node.shape(x)
    count, n = grams.shape
    totals = []
    for skip in range(min(skips, length) + 1 if n > 1 else min(skips, 0) + 1):
        starts = length - (n - 1) * (skip + 1)
        if starts < 1:
            break
        same = []
        for k in range(n):
            items = node.reshape(node.slice(x, 1, k * (skip + 1), k * (skip + 1) + starts), (rows, 1, starts))
            same.append(node.op("eq", items, node.constant(grams[:, k].reshape(1, count, 1).copy())))
        found = reduce(lambda a, b: node.op("and", a, b), same)
        totals.append(node.reduce("sum", node.cast(found, "f32"), (2,)))
    if not totals:
        return node.full((rows, count), 0, "f32")
    return reduce(lambda a, b: node.op("add", a, b), totals)


def _placed(node: Node, counts: Value, places: np.ndarray) -> Value:
    """Counts of grams where ngram_indexes has them; 0 where it has none."""
    count = node.shape(counts)[1]
    if places.min() < 0 or len(np.unique(places)) != len(places):
        node.refuse("has ngram_indexes that are negative or repeat; each of them once is supported")
    size = int(places.max()) + 1
    node.room(size)
    source = np.full(size, count, np.int64)
    source[places] = np.arange(count)
    padded = node.pad(counts, (0, 0), (0, 1)) if size > count else counts
    return node.op("gather", padded, node.constant(source), axis=1)


GRAMS: Table = {"TfIdfVectorizer": tf_idf}
