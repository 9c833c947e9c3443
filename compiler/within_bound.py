"""Static INT8 within a bound: operators that disturb the outputs most stay in floats, until what is lost is allowed."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from edgec.bounds import Answer, Bound, Loss
from edgec.graph_values import byte_here, graph_values
from edgec.int8_trials import Trials, in_integers
from edgec.ir.graph import Graph, Op, Value
from edgec.passes.lower_requant import requantise
from edgec.quantize import Range, encode_values, heavy, nearest, operators_on_bytes, values_to_observe
from edgec.search import REASON, least_in_floats
from edgec.sensitivity import interactions, most_disturbing_first

Array = np.ndarray[Any, Any]
Feeds = Mapping[str, Array]
MakeBound = Callable[[Answer], Bound]  # of what the float model answers

PROBED = 8  # samples on which operators are disturbed
CODE = "BEYOND_BOUND"


class Within:
    """`trials` are those of the model with everything on bytes that could be; what is tried here is made as the best
    of them was. `fixed` stay in floats whatever the bound says."""

    def __init__(
        self, trials: Trials, fixed: Collection[Op], ranges: Mapping[Value, Range], means: Mapping[Op, Array]
    ) -> None:
        self._all, self._fixed, self._ranges, self._means = trials, fixed, ranges, means

    def search(
        self, bounded: MakeBound, samples: Sequence[Feeds]
    ) -> tuple[set[Op], Trials, dict[str, Any], list[dict[str, Any]]]:
        """The operators on bytes, how they are encoded, what the receipt says, and its rows of those kept in floats."""
        graph = self._all.graph
        ops = [op for op in graph.ops if op in self._all.chosen and heavy(op)]
        products = interactions(graph, ops, self._narrow, samples[:PROBED])
        order = [ops[i] for i in most_disturbing_first(products)]
        alone = {op: float(np.sqrt(max(products[i, i], 0.0))) for i, op in enumerate(ops)}
        made: dict[int, tuple[set[Op], Trials]] = {}

        def measure(kept: Collection[Op]) -> Loss:
            made[len(kept)] = self._made(kept) if kept else (set(self._all.chosen), self._all)
            with answering(made[len(kept)][1]) as answer:
                return bound.loss(answer)

        with _outputs(graph) as wide:
            bound = bounded(wide)
        found = least_in_floats(order, measure, bound)
        chosen, trials = made[len(found.kept)]
        layers = [{"op": op.label, "on_bytes": op in chosen, "disturbs": float(f"{alone[op]:.4g}")} for op in order]
        rows = [{"op": op.label, "code": CODE, "why": REASON} for op in found.kept]
        return chosen, trials, {"search": {**found.facts(bound), "layers": layers}}, rows

    def _made(self, kept: Collection[Op]) -> tuple[set[Op], Trials]:
        graph, best = self._all.graph, self._all.best
        chosen = operators_on_bytes(graph, {*kept, *self._fixed})
        trials = Trials(graph, chosen, self._all.byte, self._all.samples, self._all.judge)
        observed = values_to_observe(graph, chosen)
        trials.ranges(
            best.observer, {v: self._ranges[v] for v in observed},
            {op: mean for op, mean in self._means.items() if op in chosen},
        )  # fmt: skip
        if best.way is not None:
            trials.settle((best.way,))
        return chosen, trials

    def _narrow(self, copied: Graph, twins: set[Op], values: Mapping[Value, Value]) -> None:
        byte = byte_here()
        encode_values(copied, twins, {values[v]: found for v, found in self._ranges.items()}, byte, nearest, {})
        requantise(copied, byte)


@contextmanager
def answering(trials: Trials) -> Iterator[Answer]:
    """The best trial, in the integers that ship."""
    with _outputs(in_integers(trials.best.module, trials.graph.name)) as answer:
        yield answer


@contextmanager
def _outputs(graph: Graph) -> Iterator[Answer]:
    values = [v for _, v in graph.outputs if v.const is None]
    with graph_values(graph, dict.fromkeys(values)) as taps:

        def answer(feeds: Feeds) -> list[Array]:
            found = taps(feeds)
            return [found[v] for v in values]

        yield answer
