"""Models whose weights are stored in few bits (MatMulNBits, constants of int4): they stay codes where kernels can.

The importer makes floats of such constants, and passes move and transpose those. Afterwards the codes are found again:
where each 32 products of a channel are one float times numbers of 4 bits, or of 8, the weights are encoded so. What
codes stand for is every float, bit by bit, so that the artifact computes what the float model does.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from edgec.encode_weights import encodable, form_for, products_axis
from edgec.ir.graph import Graph, Module, Op
from edgec.ir.macs import macs_of, macs_share, total_macs
from edgec.ir.ops.integer import GROUP
from edgec.ir.types import Quant, Type
from edgec.ir.verify import verify_module
from edgec.weight_only import MULTIPLIED

Array = np.ndarray[Any, Any]
PRECISION = "few bits, the model's own"
LEAST_SCALE = 2.0**-120  # a sixteenth of it, which kernels multiply by, still has all bits of a float
SAMPLE = 4  # numbers of a group that most candidates fail by
AT_ONCE = 1 << 16  # groups
# What the largest number of a group may be, the likeliest first; those left out are a half or less of one of these.
TOPS = {"i4": (8, 4, 7, 6, 5), "i8": (*range(128, 63, -8), *(n for n in range(127, 64, -1) if n % 8))}
REASONS = {
    "NO_CODED_KERNEL": "kernels of this operator read weights in floats",
    "FEW_PRODUCTS": "scales would be as large as what they save",
    "NO_CODES": "a group of 32 products has several scales, or its weights were multiplied by something since",
}


def keep_codes(module: Module) -> dict[str, Any]:
    """Encodes the weights of the module's graph, which stands behind all passes; what the receipt says of it."""
    (graph,) = module.entries.values()
    kept: list[tuple[Op, str]] = []
    refused = []
    for op in graph.ops:
        if op.kind in MULTIPLIED and op.arg(1).const is not None:
            found = _encode(graph, op)
            if found in TOPS:
                kept.append((op, found))
            else:
                refused.append({"op": op.label, "code": found, "why": REASONS[found]})
    verify_module(module, after="the search for codes")
    return {
        "precision": PRECISION,
        "calibration": None,
        "rounding": "none",
        "low_rank": 0,
        "numbers_in_the_model": dict(sorted(module.narrow.items())),
        "coded_operators": len(kept),
        "coded_macs_share": macs_share(sum(macs_of(op) for op, _ in kept), total_macs(graph)),
        "weights_in_floats": [row["op"] for row in refused],
        "refused": refused,
        "weights": [{"op": op.label, "format": format, "signal_to_noise_db": None} for op, format in kept],
    }


def _encode(graph: Graph, op: Op) -> str:
    """The format that the weights got, or a code of REASONS."""
    if not encodable(op):
        return "NO_CODED_KERNEL"
    if form_for(op, "i4") != "i4":
        return "FEW_PRODUCTS"
    value, axis = op.arg(1), products_axis(op)
    moved = np.moveaxis(graph.array(value), axis, -1)
    length = moved.shape[-1]
    padded = np.pad(moved, [(0, 0)] * (moved.ndim - 1) + [(0, -length % GROUP)])
    groups = padded.reshape(-1, GROUP)
    for format in TOPS:
        found = codes_of(groups, format)
        if found is not None:
            codes, scale = (v.reshape(*moved.shape[:-1], -1) for v in found)
            scales = np.ascontiguousarray(np.moveaxis(scale, -1, axis))
            zero = graph.module.intern(np.zeros(scales.shape, np.int8))
            encoding = Quant(format, graph.module.intern(scales), zero, axis, GROUP)
            stored = np.ascontiguousarray(np.moveaxis(codes[..., :length], -1, axis))
            op.inputs[1] = graph.encoded(stored, Type("f32", value.type.shape, (encoding,)), value.name)
            return format
    return "NO_CODES"


def codes_of(groups: Array, format: str) -> tuple[Array, Array] | None:
    """Codes and scales that are the very numbers of groups [n, products]; None where a group has none."""
    codes, scales = np.zeros(groups.shape, np.int8), np.ones(len(groups), np.float32)
    for start in range(0, len(groups), AT_ONCE):
        part = slice(start, start + AT_ONCE)
        if not _find(groups[part], format, codes[part], scales[part]):
            return None
    return codes, scales


def _find(groups: Array, format: str, codes: Array, scales: Array) -> bool:
    """The same for a few groups, into `codes` and `scales`."""
    largest = np.take_along_axis(groups, np.abs(groups).argmax(axis=1)[:, None], 1)[:, 0]
    left = np.flatnonzero(largest)
    for scale in _candidates(largest, TOPS[format]):
        if not len(left):
            break
        step = scale[left]
        with np.errstate(all="ignore"):
            likely = left[_exact(groups[left, :SAMPLE], step, format)[1] & (np.abs(step) >= LEAST_SCALE)]
            found, exact = _exact(groups[likely], scale[likely], format)
        hit = likely[exact]
        codes[hit], scales[hit] = found[exact], scale[hit]
        left = np.setdiff1d(left, hit, assume_unique=True)
    return not len(left)


def _candidates(largest: Array, tops: tuple[int, ...]) -> Iterator[Array]:
    """A scale for each group. Only the lowest number has no opposite: with it, the scale has the other sign. A product
    is rounded, so that the scale may be a step beside the quotient."""
    for top in tops:
        lowest = top == tops[0]
        scale = (largest / np.float32(-top) if lowest else np.abs(largest) / np.float32(top)).astype(np.float32)
        yield scale
        if top & (top - 1):
            yield np.nextafter(scale, np.float32(0))
            yield np.nextafter(scale, np.float32(np.inf))


def _exact(groups: Array, scale: Array, format: str) -> tuple[Array, Array]:
    """The nearest codes, and for which groups they stand for the very numbers."""
    highest = TOPS[format][0]
    steps = np.rint(groups / scale[:, None])
    legal = (steps >= -highest) & (steps < highest) & (steps * scale[:, None] == groups)
    return np.where(legal, steps, 0).astype(np.int8), legal.all(axis=1)
