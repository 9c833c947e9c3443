"""The fp16 doctor: which operator of a package overflows or diverges in halves, and which must stay in float32.

Outputs are judged as verification judges them: by all samples together, on those that it looks at as well as on all,
and where the graph rounds to bytes by what these leave (byte_noise.py).

The package is made in halves and evaluated twice on the same samples: rounding once an operator as halves do, and in
float32 throughout; results of the graph's operators are those of a package in float32, whose constants are not rounded
either. An operator overflows where float32 has a number that halves do not hold; it diverges where its
result is noisier than LEAST_DB and what it reads is not. What is found by bisection elsewhere ("which operator breaks
in fp16?") is read off here, in the order of the graph.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from edgec.byte_noise import asked_db
from edgec.emitted_package import saved
from edgec.halves_compared import Both, Seen, compared
from edgec.ir.graph import Graph, Module, Op, Value
from edgec.ir.types import FLOATS
from edgec.narrowed import HALVES_DB
from edgec.runtime.coreml.package import Package
from edgec.targets.coreml.deployment import Deployment

Array = np.ndarray[Any, Any]
Feeds = Sequence[Mapping[str, Array]]
LEAST_DB = HALVES_DB  # what outputs must keep is what an operator may leave
FIRST_BEYOND = 65520.0  # rounds to infinity
MASK = 3  # attention's operand, of which emission makes what halves hold
VERIFIED = 3  # samples that verification looks at if not told otherwise
TRIALS = 64  # packages that are made to leave out operators


@dataclass(frozen=True)
class Finding:
    """`what` is `overflows` or `diverges`, `detail` says by how much."""

    op: Op
    what: str
    detail: str

    def facts(self) -> dict[str, str]:
        return {"op": self.op.label, "what": self.what, "detail": self.detail}


@dataclass(frozen=True)
class Diagnosis:
    """`findings` in the order of the graph; `outputs` are the decibels that halves leave of each output, `levels` the
    same of each float of the graph. Of outputs that are `integers`, every one must be what it is in float32; of others
    that bytes disturb, `asked` is what they must keep."""

    findings: list[Finding]
    outputs: dict[str, float]
    levels: Mapping[Value, float]
    integers: Collection[str] = ()
    asked: Mapping[str, float] = field(default_factory=dict)

    @property
    def healthy(self) -> bool:
        overflow = any(f.what == "overflows" for f in self.findings)
        return not overflow and all(level >= self.wanted(name) for name, level in self.outputs.items())

    def wanted(self, name: str) -> float:
        """Decibels of an output."""
        return math.inf if name in self.integers else min(LEAST_DB, self.asked.get(name, LEAST_DB))


@dataclass(frozen=True)
class Plain:
    """The package in float32, and the names of the graph's values in it. Both are empty where states forbid one: Core
    ML's are halves in any case. `verified` are so many samples that verification looks at, the first; `asked` is what
    it asks there of outputs that bytes disturb."""

    package: Package | None
    names: Mapping[Value, str]
    verified: int
    asked: Mapping[str, float]


def diagnose(
    module: Module, deployment: Deployment, samples: Feeds, wide: Collection[Op] = (), verified: int = VERIFIED
) -> Diagnosis:
    """Of the entry `main`, on which all passes have run; the operators in `wide` are in float32 already."""
    with _in_float32(module, deployment, samples[:verified]) as plain:
        return _diagnosis(module, deployment, samples, wide, beyond_halves(module.entries["main"]), plain)


@contextmanager
def _in_float32(module: Module, deployment: Deployment, verified: Feeds) -> Iterator[Plain]:
    from edgec.targets.coreml.program import emit

    asked = asked_db(module.entries["main"], verified)
    if module.entries["main"].states:
        yield Plain(None, {}, len(verified), asked)
        return
    emitted = emit(module, deployment, False)
    with saved(emitted) as package:
        yield Plain(package, emitted.results, len(verified), asked)


def _diagnosis(
    module: Module, deployment: Deployment, samples: Feeds, wide: Collection[Op], held: Mapping[Op, float], plain: Plain
) -> Diagnosis:
    """`held` are what `beyond_halves` says."""
    from edgec.targets.coreml.program import emit

    graph = module.entries["main"]
    emitted = emit(module, deployment, True, {*wide, *held})
    features = {f.name: f.feature for f in emitted.inputs}
    feeds = [{features[name]: x for name, x in sample.items()} for sample in samples]
    whole = {f.feature: f.name for f in emitted.outputs if f.stored == "i32"}
    twins = {plain.names[v]: name for v, name in emitted.results.items() if v in plain.names}
    twins |= {f.feature: f.feature for f in emitted.outputs}
    with saved(emitted) as package:
        seen = compared(Both(package, plain.package, twins), feeds, whole)
    parts: dict[Op, list[Seen]] = {}
    for name, op in emitted.origins.items():
        if name in seen:
            parts.setdefault(op, []).append(seen[name])
    levels = {v: seen[name].decibels for v, name in emitted.results.items() if name in seen}
    findings = [
        f
        for op in graph.ops
        for f in (_of_constants(op, held[op], wide) if op in held else _judged(op, parts.get(op, ()), levels))
    ]
    leaving = {f.name: seen[f.feature] for f in emitted.outputs if f.feature in seen}
    outputs = {name: min(found.decibels, found.of_first(plain.verified)) for name, found in leaving.items()}
    return Diagnosis(findings, outputs, levels, set(whole.values()), plain.asked)


def beyond_halves(graph: Graph) -> dict[Op, float]:
    """Operators that have constants which halves do not hold, and the largest: no package in halves can have them."""
    found: dict[Op, float] = {}
    for op in graph.ops:
        read = op.inputs[:MASK] if op.kind == "attention" else op.inputs
        for value in read:
            if value is not None and value.const is not None and value.type.dtype in FLOATS and value.type.size:
                numbers = np.abs(np.asarray(graph.array(value), np.float64))
                largest = float(numbers[np.isfinite(numbers)].max(initial=0.0))
                if largest >= FIRST_BEYOND:
                    found[op] = max(largest, found.get(op, 0.0))
    return found


def _of_constants(op: Op, largest: float, wide: Collection[Op]) -> Iterator[Finding]:
    if op not in wide:
        yield Finding(op, "overflows", f"it has the constant {largest:.4g}, and halves end at 65504")


def _judged(op: Op, parts: Sequence[Seen], levels: Mapping[Value, float]) -> Iterator[Finding]:
    before = min((levels[v] for v in op.inputs if v is not None and v in levels), default=math.inf)
    beyond = [s for s in parts if s.largest >= FIRST_BEYOND or (s.lost and before > -math.inf)]
    if beyond:
        largest = max(s.largest for s in beyond)
        inside = " inside of it" if all(levels.get(v) is None for v in op.results) else ""
        yield Finding(op, "overflows", f"it has numbers up to {largest:.4g}{inside}, and halves end at 65504")
        return
    after = min((levels[v] for v in op.results if v in levels), default=math.inf)
    if after < LEAST_DB <= before:
        read = "exact" if before == math.inf else f"{before:.1f} dB"
        yield Finding(op, "diverges", f"halves leave {after:.1f} dB of its result, and what it reads has {read}")


def operators_to_widen(
    module: Module, deployment: Deployment, samples: Feeds, verified: int = VERIFIED
) -> tuple[Diagnosis, set[Op]]:
    """The diagnosis of all in halves, and operators that must compute in float32 so that nothing overflows and every
    output keeps what is wanted: found one after the other, the first ones first; then those are left out again without
    which it still holds."""
    graph = module.entries["main"]
    held = beyond_halves(graph)
    wide: set[Op] = set()
    with _in_float32(module, deployment, samples[:verified]) as plain:

        def diagnosed(ops: Collection[Op]) -> Diagnosis:
            return _diagnosis(module, deployment, samples, ops, held, plain)

        first = found = diagnosed(wide)
        while not found.healthy:
            more = {f.op for f in found.findings if f.what == "overflows"} - wide
            more = more or _to_blame(graph, found, wide)
            if not more:
                return first, wide
            wide |= more
            found = diagnosed(wide)

        def enough(ops: set[Op]) -> bool:
            return not held.keys() - ops and diagnosed(ops).healthy

        return first, _fewest([op for op in graph.ops if op in wide], enough)


def _fewest(ops: Sequence[Op], enough: Callable[[set[Op]], bool]) -> set[Op]:
    """A part of `ops` that is enough and of which no single one can go (delta debugging, Zeller 2002), as far as TRIALS
    trials go."""
    left, size, trials = list(ops), len(ops) // 2, 0
    while size and trials < TRIALS:
        for start in range(0, len(left), size):
            fewer = left[:start] + left[start + size :]
            trials += 1
            if trials <= TRIALS and enough(set(fewer)):
                left = fewer
                break
        else:
            size //= 2
        size = min(size, len(left))
    return set(left)


def _to_blame(graph: Graph, found: Diagnosis, wide: Collection[Op]) -> set[Op]:
    """The first operator that diverges, or where that is in float32 already, what makes its noisiest operand; at last
    what makes the noisiest output."""
    diverging = [f.op for f in found.findings if f.what == "diverges"]
    ends = sorted((v for _, v in graph.outputs), key=lambda v: found.levels.get(v, math.inf))
    starts = [*diverging, *(v.op for v in ends if v.op is not None)]
    for start in starts:
        op: Op | None = start
        while op is not None and op in wide:
            made = [v for v in op.inputs if v is not None and v.op is not None and v.type.dtype in FLOATS]
            noisiest = min(made, key=lambda v: found.levels.get(v, math.inf), default=None)
            op = None if noisiest is None else noisiest.op
        if op is not None:
            return {op}
    return set()
