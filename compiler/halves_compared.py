"""What halves make of each value of a package: how large it is, and how much of it is noise beside float32."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from edgec.runtime.coreml.evaluate import Evaluator
from edgec.runtime.coreml.package import Package
from edgec.runtime.coreml.program import Operation

Array = np.ndarray[Any, Any]
Feeds = Sequence[Mapping[str, Array]]
HELD_BYTES = 256 << 20  # of values in float32 that are held at once to compare with


@dataclass
class Seen:
    """Of a MIL variable over all samples: its largest magnitude where it is in halves, and how noisy they make it."""

    nbytes: int = 0
    largest: float = 0.0
    lost: bool = False  # halves have infinities or NaNs where float32 has numbers
    signals: list[float] = field(default_factory=list)  # a sample each, as noises
    noises: list[float] = field(default_factory=list)

    @property
    def decibels(self) -> float:
        return self.of_first(len(self.signals))

    def of_first(self, count: int) -> float:
        """Of so many samples together."""
        signal, noise = sum(self.signals[:count]), sum(self.noises[:count])
        if self.lost or (noise and not signal):
            return -math.inf
        return 10 * math.log10(signal / noise) if noise else math.inf

    def compare(self, narrow: Array, wide: Array) -> None:
        a, b = narrow.astype(np.float64), wide.astype(np.float64)
        finite = np.isfinite(b)
        if narrow.dtype == np.float16:
            self.largest = max(self.largest, float(np.abs(b[finite]).max(initial=0.0)))
        self.lost |= not np.isfinite(a[finite]).all()
        both = finite & np.isfinite(a)
        self.signals.append(float(np.sum(b[both] ** 2)))
        self.noises.append(float(np.sum((a[both] - b[both]) ** 2)))


@dataclass(frozen=True)
class Both:
    """A package in halves and one in float32; `twins` has the name in halves of what both have, by that in float32."""

    narrow: Package
    plain: Package | None
    twins: Mapping[str, str]


def compared(both: Both, feeds: Feeds, whole: Collection[str]) -> dict[str, Seen]:
    """Every float that the program makes, and the integers `whole`, in halves and in float32, as many at a time as may
    be held."""
    seen: dict[str, Seen] = {}

    def sized(_: Operation, name: str, x: Array) -> None:
        if x.dtype.kind == "f" or name in whole:
            seen[name] = Seen(x.nbytes)

    Evaluator(both.narrow, halves=False, observe=sized).run(feeds[0])
    for group in _groups(seen):
        for sample in feeds:
            _compare(both, sample, group, seen)
    return seen


def _compare(both: Both, sample: Mapping[str, Array], group: set[str], seen: dict[str, Seen]) -> None:
    held: dict[str, Array] = {}

    def hold(_: Operation, name: str, x: Array) -> None:
        if name in group:
            held[name] = x

    def exact(_: Operation, name: str, x: Array) -> None:
        if (twin := both.twins.get(name)) in held:
            held[twin] = x

    def compare(_: Operation, name: str, x: Array) -> None:
        if name in held:
            seen[name].compare(x, held.pop(name))

    Evaluator(both.narrow, halves=False, observe=hold).run(sample)
    if both.plain is not None:
        Evaluator(both.plain, halves=False, observe=exact).run(sample)
    Evaluator(both.narrow, halves=True, observe=compare).run(sample)


def _groups(seen: Mapping[str, Seen]) -> list[set[str]]:
    groups: list[set[str]] = [set()]
    held = 0
    for name, found in seen.items():
        if held + found.nbytes > HELD_BYTES and groups[-1]:
            groups.append(set())
            held = 0
        groups[-1].add(name)
        held += found.nbytes
    return groups
