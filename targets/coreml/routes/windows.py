"""What stands in front of a window that slides: cropping, padding, stepping."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edgec.targets.coreml.emission import Emission, dtype_of
from edgec.targets.coreml.mil import Var
from edgec.targets.coreml.routes.shape import sliced


def cut(e: Emission, x: Var, begin: Sequence[int], counts: Sequence[int], steps: Sequence[int]) -> Var:
    """x[begin : : step] of `counts` elements along the last axes; the axes before stay whole."""
    whole = len(x.shape) - len(begin)
    sizes = [int(d) for d in x.shape]
    first = [0] * whole + list(begin)
    stride = [1] * whole + list(steps)
    return sliced(e, x, first, sizes[:whole] + list(counts), stride)


def cropped(e: Emission, x: Var, pads: Sequence[int]) -> tuple[Var, list[int]]:
    """Begins and then ends of the spatial axes; where they are negative the operand is cut, and 0 is left."""
    r = len(pads) // 2
    begin = [max(0, -p) for p in pads[:r]]
    sizes = [int(d) for d in x.shape[2:]]
    counts = [s - b - max(0, -p) for s, b, p in zip(sizes, begin, pads[r:], strict=True)]
    return cut(e, x, begin, counts, [1] * r), [max(0, p) for p in pads]


def padded(e: Emission, x: Var, pads: Sequence[int], value: float) -> Var:
    """Begins and then ends (>= 0) of the spatial axes, filled with `value`."""
    if not any(pads):
        return x
    r = len(pads) // 2
    widths = [0] * 4 + [p for pair in zip(pads[:r], pads[r:], strict=True) for p in pair]
    fill = e.as_dtype(np.asarray(value), dtype_of(x))
    return e.mil("pad", x=x, pad=widths, mode="constant", constant_val=fill)
