"""What halves may do to a graph that rounds to bytes, or to whole numbers.

A sum in halves that lies beside half a step is rounded to the other side, and the byte is a step off; so no bound holds
of outputs that knows nothing of the bytes. What is asked of them instead: no more noise than rounding makes itself. Its
error lies evenly within half a step and has the power of a 12th of a squared step, as much as single steps have where
every twelfth byte is off. So a graph is run with such bytes, and how noisy its outputs are is measured.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from edgec.ir import interp
from edgec.ir.encodings import decode, encode
from edgec.ir.graph import Graph, Value
from edgec.ir.types import Quant
from edgec.narrowed import together
from edgec.paired import signal_to_noise

Array = np.ndarray[Any, Any]
Given = Callable[[Value, Array], Array]
CHANCE_DB = 3.0  # left for chance: in a deep graph both noises may be as large as they can be
SHARE = 1 / 12  # of the numbers that are rounded


def rounds(graph: Graph) -> bool:
    return any(_is_rounded(v) for op in graph.ops for v in op.results)


def steps_off(graph: Graph) -> Given:
    """For `interp.run`, a result as it may come out: the same ones off by a step in each call of this function. What is
    at an end of its range stays: it is far beyond that, mostly."""
    rng = np.random.default_rng(0)
    constants = graph.module.constants

    def given(value: Value, array: Array) -> Array:
        if not _is_rounded(value) or not array.size:
            return array
        off = (rng.random(array.shape) < SHARE) * rng.choice([-1, 1], array.shape)
        if not value.type.encodings:
            return np.asarray(_moved(array, off))
        stored = _moved(encode(constants, array, value.type), off)
        return np.asarray(decode(constants, stored, value.type), array.dtype)

    return given


def asked_db(graph: Graph, feeds: Sequence[Mapping[str, Array]]) -> dict[str, float]:
    """What outputs in halves must keep on inputs of a graph that rounds; nothing of one that does not."""
    if not rounds(graph):
        return {}
    given = steps_off(graph)
    pairs: dict[str, list[tuple[Array, Array]]] = {}
    for feed in feeds:
        meant = interp.run(graph, feed)
        for name, off in interp.run(graph, feed, given=given).items():
            pairs.setdefault(name, []).append((off, meant[name]))
    return {name: asked_of(found) for name, found in pairs.items()}


def asked_of(pairs: Sequence[tuple[Array, Array]]) -> float:
    """The same of one output, with bytes off and as it is meant; infinite where that says nothing."""
    level = signal_to_noise(*together(pairs))
    return level - CHANCE_DB if level > -math.inf else math.inf


def _is_rounded(value: Value) -> bool:
    """To bytes by its encoding, or to integers by the operator that makes it."""
    if value.type.encodings:
        return all(isinstance(e, Quant) for e in value.type.encodings)
    op = value.op
    return op is not None and (op.kind == "round" or (op.kind == "quantize" and not op.arg(0).type.encodings))


def _moved(array: Array, off: Array) -> Array:
    if array.dtype.kind not in "iu":
        return np.asarray(array + off, array.dtype)
    ends = np.iinfo(array.dtype)
    inside = (array > ends.min) & (array < ends.max)
    return np.asarray(array.astype(np.int64) + off * inside, array.dtype)
