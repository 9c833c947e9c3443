"""What folding an op would cost, estimated from types alone, so that nothing is begun that takes minutes or gigabytes.

An op that is too dear to fold stays an op: the compiled model computes it at run time.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from edgec.ir.types import FLOATS, Type

MOST_ELEMENTS = 1 << 25  # of one result
MOST_BYTES = 1 << 29  # of operands, results and what numpy needs in between
MOST_WORK = 1 << 30  # about two seconds of numpy

# element operations that one element takes, where that is far from one
SLOW = {
    "erf": 200, "gelu": 200, "gelu_tanh": 20, "pow": 20, "mod": 10, "fmod": 10, "topk": 30, "cumsum": 4, "mish": 10,
    "scatter_elements": 20, "scatter_nd": 20, "gather_nd": 4, "softmax": 8, "log_softmax": 8,
}  # fmt: skip
STEP = 20_000  # of one step of a recurrence, whatever its size


def work(kind: str, types: Sequence[Type | None], results: Sequence[Type], a: Any) -> int:
    """Element operations of numpy."""
    given = [t for t in types if t is not None]
    moved = sum(t.size for t in given) + sum(t.size for t in results)
    y = results[0]
    if kind == "matmul":
        x = given[0]
        # numpy has no fast product of integers
        return moved + y.size * (x.dims[-1] if x.rank else 1) // (8 if x.dtype in FLOATS else 1)
    if kind == "conv":
        return moved + y.size * math.prod(given[1].dims[1:])
    if kind == "conv_transpose":
        return moved + given[0].size * math.prod(given[1].dims[1:])
    if kind in ("max_pool", "avg_pool"):
        window: int = math.prod(a["kernel"])
        return moved + y.size * window
    if kind == "resize":
        return moved + sum(y.size * d for d in given[0].dims if d > 1)
    if kind == "attention":
        return moved + 2 * math.prod(given[0].dims[:3]) * given[1].dims[2] * given[1].dims[3]
    if kind in ("lstm", "gru", "rnn", "qlstm", "qgru", "qrnn"):
        steps, batch, _ = given[0].dims
        return moved + steps * (STEP + batch * sum(t.size for t in types[1:3] if t is not None))
    return moved * SLOW.get(kind, 1)


def memory(kind: str, types: Sequence[Type | None], results: Sequence[Type]) -> int:
    """Bytes while numpy works."""
    given = [t for t in types if t is not None]
    held = sum(t.nbytes for t in results)
    if kind == "conv":
        return held * 3 + 4 * results[0].size * math.prod(given[1].dims[1:]) // max(1, given[1].dims[0])
    if kind == "resize":
        return held * 3 + 8 * sum(d * e for d, e in zip(given[0].dims, results[0].dims, strict=True) if d != e)
    if kind == "attention":
        return held + 3 * 8 * math.prod(given[0].dims[:3]) * given[1].dims[2]
    # half floats are widened, sorting keeps positions
    return held * (4 if kind in SLOW else 2)


def affordable(kind: str, types: Sequence[Type | None], results: Sequence[Type], a: Any) -> bool:
    return (
        all(t.size <= MOST_ELEMENTS for t in results)
        and memory(kind, types, results) <= MOST_BYTES
        and work(kind, types, results, a) <= MOST_WORK
    )
