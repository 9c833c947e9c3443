"""`edgec diff A B`: runs two artifacts of one model on the same input and says where they part, first of all.

Layers are values of the artifacts' own code (layer_values.py), compared as real numbers, or step by step where both
hold them on the same grid of bytes. B is what A is compared with: signal to noise and ranges are B's.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edgec.diff_facts import Fact, differing_facts, precision_of, read_receipt
from edgec.golden import FILE as GOLDEN
from edgec.golden import golden_feeds
from edgec.ir.errors import UsageError
from edgec.ir.types import FLOATS, Type, dtype_name
from edgec.layer_pairs import Laid, pairs_of
from edgec.layer_values import LayerValue, Seen, layer_facts, layer_values
from edgec.paired import power_db
from edgec.runtime.manifest import Manifest, TensorInfo, check_files, read_manifest
from edgec.sample_inputs import sample_inputs

Array = np.ndarray[Any, Any]

# Shares of the largest magnitude that layers may differ by, where nothing is said (README, edgec diff)
EXACT = 0.0
FLOAT_SUMS = 1e-4  # the order in which floats are added
HALVES = 1e-2
NARROW = 5e-2  # bytes of a good scale stay below, and a saturated or damaged channel does not
_ROUNDED = {"fp16", "fp8-e4m3", "fp8-e5m2", "int8-dynamic"}  # what the last bit of a sum decides
_BYTES = {"i8": -128, "u8": 0}  # what the lowest is


@dataclass(frozen=True)
class Row:
    """A layer in both. `largest` difference of two elements: in steps of a byte (`steps`) where both are bytes on one
    grid, and as a share of the largest magnitude. It is at `index` of the model's tensor, of which one index is the
    `channel`. `beyond` are the channels that differ by more than the tolerance."""

    op: str
    other_op: str
    tensor: str | None
    kinds: tuple[str, str]
    largest: float
    steps: int | None
    share: float
    signal_to_noise_db: float
    channel: int
    index: tuple[int, ...]
    channels: int
    tolerance: float
    beyond: tuple[int, ...]


@dataclass(frozen=True)
class Diff:
    """`rows` in the order in which A makes them, outputs last; `notes` are what limits the comparison."""

    rows: Sequence[Row]
    facts: Sequence[Fact]
    first_alone: Sequence[LayerValue]
    second_alone: Sequence[LayerValue]
    notes: Sequence[str]

    @property
    def parting(self) -> Row | None:
        return next((row for row in self.rows if row.beyond), None)


def open_both(first: Path, second: Path) -> tuple[Manifest, Manifest]:
    """UsageError that names what keeps them from being compared; RunError for what is no artifact."""
    a, b = read_manifest(first), read_manifest(second)
    for manifest in (a, b):
        check_files(manifest)
        layer_facts(manifest)
    for what, ours, theirs in (("input", a.inputs, b.inputs), ("output", a.outputs, b.outputs)):
        for x, y in zip(ours, theirs, strict=False):
            if x != y:
                raise UsageError(
                    f"{first} and {second} cannot be compared: {what} {_named(x)} of the one, {_named(y)} of the other"
                )
        if len(ours) != len(theirs):
            raise UsageError(
                f"{first} and {second} cannot be compared: {len(ours)} {what}s of the one, {len(theirs)} of the other"
            )
    return a, b


def input_of(a: Manifest, b: Manifest, seed: int | None, ranges: Mapping[str, tuple[float, float]]) -> dict[str, Array]:
    """The sample in golden.npz of the one or the other, which is a real one where data was given to the build; random
    numbers where there is none, or where a seed or ranges are given."""
    if seed is None and not ranges:
        for manifest in (a, b):
            if GOLDEN in manifest.files:
                return golden_feeds(manifest.directory / GOLDEN)
    return sample_inputs([(t.name, Type(t.dtype, t.shape)) for t in a.inputs], seed or 0, ranges)


def diff(a: Manifest, b: Manifest, feeds: Mapping[str, Array], tolerance: float | None, runner: str | None) -> Diff:
    """`tolerance`: of every layer, as a share of its largest magnitude."""
    receipts = read_receipt(a), read_receipt(b)
    seen = layer_values(a, feeds, runner), layer_values(b, feeds, runner)
    found = pairs_of(seen[0].layers, seen[1].layers, a.raw.get("isa") == b.raw.get("isa"))
    precisions = precision_of(receipts[0]), precision_of(receipts[1])
    rows: list[Row] = []
    least = EXACT  # once a layer is rounded in two ways, what is made of it is no nearer
    for x, y in (*found.pairs, *_outputs(seen)):
        if least == NARROW and _is_sum(x.layer):
            continue  # in steps of its own, and the numbers that it stands for come next
        own = max(least, _tolerance(x.layer, y.layer, precisions))
        least = NARROW if own == NARROW else least
        rows.append(_row(x, y, own if tolerance is None else tolerance))
    return Diff(rows, differing_facts(a, b, *receipts), found.first_alone, found.second_alone, _notes((a, b), seen))


def _named(tensor: TensorInfo) -> str:
    return f"'{tensor.name}' {tensor}"


def _outputs(seen: tuple[Seen, Seen]) -> Sequence[tuple[Laid, Laid]]:
    """Of the libraries that ship."""

    def layers(one: Seen) -> Sequence[LayerValue]:
        found = [(f"output {name}", x) for name, x in one.outputs.items() if x.size]
        return [LayerValue(label, dtype_name(x.dtype), None, None, x, None) for label, x in found]

    return pairs_of(layers(seen[0]), layers(seen[1])).pairs


def _notes(manifests: Sequence[Manifest], seen: Sequence[Seen]) -> list[str]:
    return [
        f"the source of {m.directory}, compiled again, gives other outputs than its library: layers are the source's"
        for m, one in zip(manifests, seen, strict=True)
        if not one.as_shipped
    ]


def _tolerance(a: LayerValue, b: LayerValue, precisions: tuple[str, str]) -> float:
    whole = a.scaled is None and b.scaled is None and not {a.dtype, b.dtype} & FLOATS
    if whole or _on_one_grid(a, b):
        return EXACT
    found, kinds = set(precisions), {a.dtype, b.dtype}
    if len(found) == 1 and not found & _ROUNDED and kinds <= FLOATS:
        return HALVES if kinds & {"f16", "bf16"} else FLOAT_SUMS
    return HALVES if found <= {"float32", "fp16"} else NARROW


def _is_sum(layer: LayerValue) -> bool:
    """Of products of bytes, not scaled yet."""
    return layer.dtype == "i32" and layer.scaled is None and layer.op.startswith(("qconv ", "qmatmul "))


def _on_one_grid(a: LayerValue, b: LayerValue) -> bool:
    """Whether both are bytes, and the same byte means the same, i8 being u8 less 128."""
    if a.scaled is None or b.scaled is None or a.dtype not in _BYTES or b.dtype not in _BYTES:
        return False
    zeros = [layer.scaled.zero - _BYTES[layer.dtype] for layer in (a, b) if layer.scaled is not None]
    return a.scaled.scale == b.scaled.scale and zeros[0] == zeros[1]


def _row(a: Laid, b: Laid, tolerance: float) -> Row:
    one, other = a.layer, b.layer
    x, y = a.of(one.real), b.of(other.real)
    known = np.ones(x.shape, np.bool_)
    for side in (a, b):
        if side.layer.known is not None:
            known &= side.of(side.layer.known)
    with np.errstate(invalid="ignore"):
        error = np.where((x == y) | (np.isnan(x) & np.isnan(y)), 0.0, np.abs(x - y))
    error = np.where(known, np.where(np.isnan(error), math.inf, error), 0.0)
    numbers = np.abs(y[known & np.isfinite(y)])
    top = float(numbers.max(initial=0.0))
    axis = b.channels
    by_channel = error if error.ndim == 0 else error.max(axis=tuple(i for i in range(error.ndim) if i != axis))
    index = tuple(map(int, np.unravel_index(int(error.argmax()), error.shape)))
    largest = float(error.max())
    steps = None
    if _on_one_grid(one, other):
        bytes_of = [s.of(s.layer.stored).astype(np.int64) - _BYTES[s.layer.dtype] for s in (a, b)]
        steps = int(np.abs(np.where(known, bytes_of[0] - bytes_of[1], 0)).max())
    level = power_db(float(np.sum(error**2)), float(np.sum(numbers**2)))
    return Row(
        one.op, other.op, one.origin.tensor if one.origin is not None else None, (one.dtype, other.dtype),
        largest, steps, largest / top if top else math.inf if largest else 0.0, level,
        index[axis] if index else 0, index, by_channel.size, tolerance,
        tuple(map(int, np.flatnonzero(by_channel > tolerance * top))),
    )  # fmt: skip
