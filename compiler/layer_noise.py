"""What encodings do to the result of each operator."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from edgec.graph_values import tapped
from edgec.ir import interp
from edgec.ir.graph import Graph, Value
from edgec.paired import noise_db

Array = np.ndarray[Any, Any]


def noise_of_layers(
    graph: Graph, results: Sequence[Value], wide: Sequence[Array], sample: Mapping[str, Array]
) -> list[dict[str, Any]]:
    """Signal to noise of each result in an encoded graph, that of all before it included, on one sample. `wide`: what
    it is in floats."""
    with tapped(graph, results) as names:
        narrow = interp.run(graph, sample)
    rows = []
    for value, expected in zip(results, wide, strict=True):
        assert value.op is not None
        rows.append({"op": value.op.label, "signal_to_noise_db": noise_db(narrow[names[value]], expected)})
    return rows
