"""The largest or smallest elements of an axis and their places; of equal elements the first ones, in their order.

MIL does not say which of equal elements its topk takes. Its values are taken, and places, where they are read, are
found by counting: what is beyond the last value, and the first of what equals it, in order of place; then sorted by
comparing the k elements with one another.
"""

from __future__ import annotations

import numpy as np

from edgec.ir.graph import Op
from edgec.targets.coreml.emission import Emission, NoRoute, Route
from edgec.targets.coreml.mil import Var
from edgec.targets.coreml.ranks import MOST_RANK, reshaped, transposed

MOST_COMPARED = 1 << 26


def _topk(e: Emission, op: Op) -> list[Var]:
    axis, k = int(op.attrs["axis"]), int(op.attrs["k"])  # type: ignore[arg-type]
    x, dims, largest = e.made(op.arg(0)), op.arg(0).type.dims, bool(op.attrs["largest"])
    if len(dims) > MOST_RANK:
        raise NoRoute(f"of {op.arg(0).type} has more than {MOST_RANK} axes")
    values, places = e.mil("topk", x=x, k=k, axis=axis, ascending=not largest)
    second = op.results[1]
    read = any(second in other.inputs for other in e.graph.ops) or any(v is second for _, v in e.graph.outputs)
    if not read or dims[axis] == 1:
        return [values, places]
    n, rows = dims[axis], op.arg(0).type.size // dims[axis]
    if rows * k * k > MOST_COMPARED:
        raise NoRoute(f"keeps equal elements in order, by {rows * k * k} comparisons; at most {MOST_COMPARED} are made")
    last = [*(i for i in range(len(dims)) if i != axis), axis]
    every = reshaped(e, transposed(e, x, dims, last), (rows, n))
    shape = tuple(second.type.dims[i] for i in last)
    if k < n:
        chosen = reshaped(e, transposed(e, values, second.type.dims, last), (rows, k))
        found = _first(e, every, _column(e, chosen, k - 1), k, largest)
        every = e.mil("gather_along_axis", x=every, indices=found, axis=1)
    else:
        found = _counted(e, rows, n)
    if k > 1:
        found = e.mil(
            "scatter_along_axis", data=e.const(np.zeros((rows, k), np.int32)), updates=found, axis=1, mode="update",
            indices=_ranks(e, every, rows, k, largest),
        )  # fmt: skip
    return [values, transposed(e, reshaped(e, found, shape), shape, np.argsort(last).tolist())]


def _column(e: Emission, x: Var, i: int) -> Var:
    return e.mil("slice_by_index", x=x, begin=[0, i], end=[int(x.shape[0]), i + 1])


def _counted(e: Emission, rows: int, n: int) -> Var:
    """0, 1 … in each row, which is not stored."""
    count = e.mil("expand_dims", x=e.mil("range_1d", start=0, end=n, step=1), axes=[0])
    return count if rows == 1 else e.mil("tile", x=count, reps=[rows, 1])


def _first(e: Emission, x: Var, limit: Var, k: int, largest: bool) -> Var:
    """Places of the k elements of each row that are beyond the limit, or the first that equal it, in their order."""
    rows, n = (int(d) for d in x.shape)
    beyond = e.cast(e.mil("greater" if largest else "less", x=x, y=limit), "i32")
    same = e.cast(e.mil("equal", x=x, y=limit), "i32")
    room = e.mil("sub", x=e.const(k), y=e.mil("reduce_sum", x=beyond, axes=[1], keep_dims=True))
    early = e.cast(e.mil("less_equal", x=e.mil("cumsum", x=same, axis=1), y=room), "i32")
    taken = e.mil("add", x=beyond, y=e.mil("mul", x=same, y=early))
    # the n-th that is taken goes to n - 1, all others to k, which is cut off
    to = e.mil("mul", x=taken, y=e.mil("sub", x=e.mil("cumsum", x=taken, axis=1), y=e.const(k + 1)))
    found = e.mil(
        "scatter_along_axis", data=e.const(np.zeros((rows, k + 1), np.int32)), updates=_counted(e, rows, n), axis=1,
        indices=e.mil("add", x=to, y=e.const(k)), mode="update",
    )  # fmt: skip
    return e.mil("slice_by_index", x=found, begin=[0, 0], end=[rows, k])


def _ranks(e: Emission, x: Var, rows: int, k: int, largest: bool) -> Var:
    """How many elements of a row come before each one: those that are beyond it, and its equals at smaller places."""
    own, other = reshaped(e, x, (rows, k, 1)), reshaped(e, x, (rows, 1, k))
    beyond = e.cast(e.mil("greater" if largest else "less", x=other, y=own), "i32")
    place = np.arange(k)
    earlier = e.cast(e.mil("less", x=e.const(place.reshape(1, 1, k)), y=e.const(place.reshape(1, k, 1))), "i32")
    twins = e.mil("mul", x=e.cast(e.mil("equal", x=other, y=own), "i32"), y=earlier)
    return e.mil("reduce_sum", x=e.mil("add", x=beyond, y=twins), axes=[2], keep_dims=False)


ROUTES: dict[str, Route] = {"topk": _topk}
