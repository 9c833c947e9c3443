"""The reference of a package with states: the model itself, whose outputs are handed to its inputs at the next call."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from edgec.ir.graph import Graph
from edgec.narrowed import Run
from edgec.states import LAST

Array = np.ndarray[Any, Any]


def carried(run: Run, graph: Graph, pairs: Mapping[str, str]) -> Run:
    """`run` takes all inputs of the imported `graph`; what is returned takes those that are no state, remembers them,
    and begins with zeros."""
    types = {v.name: v.type for v in graph.inputs}
    held = {name: np.zeros(types[name].dims, types[name].numpy) for name in pairs}

    def run_carried(feeds: Mapping[str, Array]) -> dict[str, Array]:
        made = run({**feeds, **held})
        for name, text in pairs.items():
            made_now = made[text.removesuffix(LAST)]
            last = tuple(slice(m - n, m) for m, n in zip(made_now.shape, types[name].dims, strict=True))
            held[name] = np.ascontiguousarray(made_now[last])
        return made

    return run_carried
