"""Values inside a graph for many inputs: what ranges, mean errors and roundings are measured on.

The graph is built for this machine with the chosen values as outputs, and run sample by sample. Where they are too
large to be kept together, they are built in groups; a group takes only the operators that it depends on. What the
target will compute differs from this in the last bits only, since its vectors may be of another width; that of a core
with arithmetic on halves does where this machine computes the plan of that very core (`devices.computed_here`).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from importlib.metadata import version
from typing import Any

import numpy as np

from edgec.artifact import staged
from edgec.build_facts import manifest_of
from edgec.ir import interp
from edgec.ir.errors import UsageError
from edgec.ir.graph import Graph, Op, Value
from edgec.options import BuildOptions
from edgec.plan.plan import Plan
from edgec.runtime.session import Session, load
from edgec.target_table import TARGETS
from edgec.targets.c.build import Platform, make_loadable, make_plan
from edgec.targets.c.devices import Device, computed_here
from edgec.targets.c.emit import Identity

Array = np.ndarray[Any, Any]
Feeds = Mapping[str, Array]
Found = dict[Value, Array]

GROUP_BYTES = 256 << 20  # of values that leave one build
THREADS = min(4, os.cpu_count() or 1)  # any number gives the same bits


class GraphValues:
    """`executed_on` says what computes them."""

    def __init__(self, groups: Sequence[Callable[[Feeds], Found]], executed_on: str) -> None:
        self._groups = groups
        self.executed_on = executed_on

    def __call__(self, feeds: Feeds) -> Found:
        """All values for one sample."""
        found: Found = {}
        for group in self._groups:
            found |= group(feeds)
        return found

    def stream(self, samples: Iterable[Feeds]) -> Iterator[tuple[int, Found]]:
        """The number of a sample and values for it, one group after the other: every value comes once for each sample,
        and the arrays of one step are all that is in memory. `samples` is gone through once for each group."""
        for group in self._groups:
            for number, feeds in enumerate(samples):
                yield number, group(feeds)


@contextmanager
def graph_values(
    graph: Graph, values: Iterable[Value], group_bytes: int = GROUP_BYTES, core: Device | None = None
) -> Iterator[GraphValues]:  # fmt: skip
    """Builds once for all samples. `values` are inputs or results of `graph`, which is afterwards what it was; states
    are at their beginning for each sample. `core`: the one whose arithmetic on halves is meant, if it has any. Without
    a host target here the interpreter computes them, slowly."""
    wanted = set(values)
    ordered = [v for v in graph.values() if v in wanted]
    assert len(ordered) == len(wanted), f"{len(wanted) - len(ordered)} values are neither inputs nor results"
    given = {s.input for s in graph.states} ^ set(graph.inputs)
    fed = [v for v in ordered if v in given]
    made = _grouped([v for v in ordered if v not in given], group_bytes)
    groups: list[Callable[[Feeds], Found]] = [_fed(fed)] if fed else []
    try:
        device, platform = TARGETS["host"].choose(""), TARGETS["host"].platform("linux")
    except UsageError as refused:
        yield GraphValues([*groups, *(_interpreted(graph, part) for part in made)], f"edgec's interpreter ({refused})")
        return
    if core is not None and core.isa.half_lanes:
        device = computed_here(core, device)
    with ExitStack() as stack:
        groups += [stack.enter_context(_built(graph, part, device, platform)) for part in made]
        yield GraphValues(groups, f"host:{device.name}")


def byte_here() -> str:
    """How graphs that run here must store bytes; the same integers as on any target, bit by bit."""
    try:
        return TARGETS["host"].choose("").isa.byte
    except UsageError:
        return "i8"


def _grouped(values: Sequence[Value], most: int) -> list[list[Value]]:
    """In order, each group below `most` bytes where its values are."""
    groups: list[list[Value]] = []
    size = most
    for value in values:
        if size + value.type.nbytes > most:
            groups.append([])
            size = 0
        groups[-1].append(value)
        size += value.type.nbytes
    return groups


def _fed(values: Sequence[Value]) -> Callable[[Feeds], Found]:
    return lambda feeds: {v: feeds[v.name] for v in values}


def _interpreted(graph: Graph, values: Sequence[Value]) -> Callable[[Feeds], Found]:
    def run(feeds: Feeds) -> Found:
        with tapped(graph, values) as names:
            found = interp.run(graph, feeds)
        return {v: found[name] for v, name in names.items()}

    return run


@contextmanager
def _built(
    graph: Graph, values: Sequence[Value], device: Device, platform: Platform
) -> Iterator[Callable[[Feeds], Found]]:
    with tapped(graph, values):
        plan = make_plan(graph, device, "values", THREADS)
    manifest = manifest_of(plan, device, "host", BuildOptions(), platform.triple, "")
    identity = Identity(version("edgec"), f"host:{device.name}")
    with session_of(plan, device, platform, identity, manifest, "host", THREADS) as session:

        def run(feeds: Feeds) -> Found:
            session.reset()
            return dict(zip(values, session.run(None, feeds), strict=True))

        yield run


@contextmanager
def session_of(
    plan: Plan, device: Device, platform: Platform, identity: Identity, manifest: Mapping[str, Any],
    runner: str | None, threads: int = 1,
) -> Iterator[Session]:  # fmt: skip
    """What runs the plan, in a folder that is gone afterwards."""
    files = make_loadable(plan, device, identity, platform)
    with staged(files, manifest) as folder, load(folder, runner=runner, threads=threads) as session:
        yield session


@contextmanager
def tapped(graph: Graph, values: Sequence[Value]) -> Iterator[dict[Value, str]]:
    """The graph gives these values away, under these names, and has no operators but those that they need."""
    outputs, ops = graph.outputs, graph.ops
    names = {value: f"value_{i}" for i, value in enumerate(values)}
    try:
        graph.outputs = [(name, value) for value, name in names.items()]
        graph.ops = _needed(graph, values)
        yield names
    finally:
        graph.outputs, graph.ops = outputs, ops


def _needed(graph: Graph, values: Sequence[Value]) -> list[Op]:
    """The operators that these values and the states depend on."""
    live = {*values, *(s.output for s in graph.states)}
    needed: list[Op] = []
    for op in reversed(graph.ops):
        if any(result in live for result in op.results):
            needed.append(op)
            live.update(v for v in op.inputs if v is not None)
    return needed[::-1]
