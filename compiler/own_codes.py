"""Models whose weights are stored in few bits (MatMulNBits, constants of int4): they stay codes where kernels can.

The importer makes floats of such constants, and passes move and transpose those. Afterwards the codes are found again:
where each 32 products of a channel are one float times numbers of 4 bits, with or without a zero point, or of 8, the
weights are encoded so. What codes stand for is every float, bit by bit, so that the artifact computes what the float
model does.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
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


@dataclass(frozen=True)
class Kind:
    """Codes of `bits`; `tops`: what the largest number of a group may be, the likeliest first. Without zero points, the
    first is the lowest number, which has no opposite, and those left out are a half or less of one of these."""

    bits: int
    tops: tuple[int, ...]
    zeros: bool = False

    @property
    def format(self) -> str:
        return f"i{self.bits}"


KINDS = (
    Kind(4, (8, 4, 7, 6, 5)),
    Kind(4, (*range(8, 16), *range(7, 0, -1)), zeros=True),
    Kind(8, (*range(128, 63, -8), *(n for n in range(127, 64, -1) if n % 8))),
)
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
            if found in REASONS:
                refused.append({"op": op.label, "code": found, "why": REASONS[found]})
            else:
                kept.append((op, found))
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
    for kind in KINDS:
        found = codes_of(groups, kind)
        if found is not None:
            codes, scale, zero = (v.reshape(*moved.shape[:-1], -1) for v in found)
            stored, scales, zeros = (
                np.ascontiguousarray(np.moveaxis(v, -1, axis)) for v in (codes[..., :length], scale, zero)
            )
            encoding = Quant(kind.format, graph.module.intern(scales), graph.module.intern(zeros), axis, GROUP)
            op.inputs[1] = graph.encoded(stored, Type("f32", value.type.shape, (encoding,)), value.name)
            return kind.format
    return "NO_CODES"


def codes_of(groups: Array, kind: Kind) -> tuple[Array, Array, Array] | None:
    """Codes, scales and zero points that are the very numbers of groups [n, products]; None where a group has none."""
    steps, scales = np.zeros(groups.shape, np.int8), np.ones(len(groups), np.float32)
    for start in range(0, len(groups), AT_ONCE):
        part = slice(start, start + AT_ONCE)
        if not _find(groups[part], kind, steps[part], scales[part]):
            return None
    # the lowest of a group's steps is the lowest code; 0 is among them, or may be
    low = steps.min(axis=1, initial=0) if kind.zeros else np.full(len(groups), -(1 << kind.bits - 1))
    zeros = (-(1 << kind.bits - 1) - low).astype(np.int8)
    return steps + zeros[:, None], scales, zeros


def _find(groups: Array, kind: Kind, steps: Array, scales: Array) -> bool:
    """The numbers of a few groups in steps of their scales, into `steps` and `scales`."""
    largest = np.take_along_axis(groups, np.abs(groups).argmax(axis=1)[:, None], 1)[:, 0]
    left = np.flatnonzero(largest)
    for scale in _candidates(largest, kind):
        if not len(left):
            break
        step = scale[left]
        with np.errstate(all="ignore"):
            likely = left[_exact(groups[left, :SAMPLE], step, kind)[1] & (np.abs(step) >= LEAST_SCALE)]
            found, exact = _exact(groups[likely], scale[likely], kind)
        hit = likely[exact]
        steps[hit], scales[hit] = found[exact], scale[hit]
        left = np.setdiff1d(left, hit, assume_unique=True)
    return not len(left)


def _candidates(largest: Array, kind: Kind) -> Iterator[Array]:
    """A scale for each group. With the number that has no opposite, it has the other sign. A product is rounded, so
    that the scale may be a step beside the quotient."""
    for top in kind.tops:
        lowest = top == kind.tops[0] and not kind.zeros
        scale = (largest / np.float32(-top) if lowest else np.abs(largest) / np.float32(top)).astype(np.float32)
        yield scale
        if top & (top - 1):
            yield np.nextafter(scale, np.float32(0))
            yield np.nextafter(scale, np.float32(np.inf))


def _exact(groups: Array, scale: Array, kind: Kind) -> tuple[Array, Array]:
    """Numbers in steps of a scale for each group, and which groups are these exactly."""
    steps = np.rint(groups / scale[:, None])
    count = 1 << kind.bits
    if kind.zeros:
        fits = steps.max(axis=1, initial=0) - steps.min(axis=1, initial=0) < count
    else:
        fits = np.all((steps >= -count // 2) & (steps < count // 2), axis=1)
    exact = fits & np.all(steps * scale[:, None] == groups, axis=1)
    return np.where(exact[:, None], steps, 0).astype(np.int8), exact
