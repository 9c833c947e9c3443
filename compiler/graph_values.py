"""What values of a graph are for samples of its inputs: the graph is built for this machine with them as outputs.

The build is that of the host target, so that hundreds of samples of a real model take seconds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from edgec.artifact import staged
from edgec.build_facts import manifest_of
from edgec.ir.graph import Graph, Value
from edgec.options import BuildOptions
from edgec.runtime.session import load
from edgec.target_table import TARGETS, choose_device
from edgec.targets.c.build import make_files, make_plan
from edgec.targets.c.emit import Identity

Array = np.ndarray[Any, Any]
Observe = Callable[[Mapping[str, Array]], list[Array]]
MOST_BYTES = 256 << 20  # of values that one build gives


@contextmanager
def observing(graph: Graph, values: Sequence[Value]) -> Iterator[Observe]:
    """A function from inputs to the values' arrays, in their order. The graph is as before afterwards."""
    own = graph.outputs
    graph.outputs = [(f"value_{i}", value) for i, value in enumerate(values)]
    try:
        family, device = choose_device("host")
        platform = TARGETS[family].platform("linux")
        plan = make_plan(graph, device, "values", 1)
        built = make_files(plan, device, Identity("", "calibration"), platform, lambda _: None)
        manifest = manifest_of(plan, device, family, BuildOptions(threads=1), platform.triple, "")
    finally:
        graph.outputs = own
    with staged(built.files, manifest) as folder, load(folder) as session:

        def observe(feeds: Mapping[str, Array]) -> list[Array]:
            session.reset()
            return list(session.run(None, feeds))

        yield observe


def groups(values: Sequence[Value]) -> list[list[Value]]:
    """The values in parts that one build can give."""
    found: list[list[Value]] = []
    held = MOST_BYTES
    for value in values:
        if held + value.type.nbytes > MOST_BYTES:
            found.append([])
            held = 0
        found[-1].append(value)
        held += value.type.nbytes
    return found
