"""The meaning of a graph in numpy: what every kernel and every pass is checked against."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from edgec.ir.encodings import decode, encode
from edgec.ir.errors import IRError
from edgec.ir.graph import Graph, Value
from edgec.ir.ops import OPS

Array = np.ndarray[Any, Any]


def run(
    graph: Graph, feeds: Mapping[str, Array], state: dict[str, Array] | None = None,
    given: Callable[[Value, Array], Array] = lambda _, array: array,
) -> dict[str, Array]:  # fmt: skip
    """Outputs by name for inputs by name. Encoded values are real numbers that their encoding has. State inputs start
    at their initial contents; when `state` is given, it is read instead and holds the new contents afterwards. `given`
    sees each result and says what is to stand for it. IRError when a feed is missing or of another type."""
    known: dict[Value, Array] = {}
    constants = graph.module.constants
    state_inputs = {s.input: s for s in graph.states}
    for value in graph.inputs:
        if value in state_inputs:
            initial = graph.module.constants[state_inputs[value].initial]
            known[value] = (state or {}).get(value.name, initial)
            continue
        if value.name not in feeds:
            raise IRError(f"the input {value.name} is missing")
        array = np.asarray(feeds[value.name])
        if array.dtype != value.type.numpy or array.shape != value.type.dims:
            raise IRError(f"the input {value.name} is {array.dtype}{list(array.shape)}, and {value.type} is needed")
        known[value] = array

    def read(value: Value | None) -> Array | None:
        if value is None:
            return None
        return graph.array(value) if value.const is not None else known[value]

    for op in graph.ops:
        arrays = OPS[op.kind].evaluate([read(v) for v in op.inputs], op.attrs)
        for value, array in zip(op.results, arrays, strict=True):
            if value.type.encodings:
                array = decode(constants, encode(constants, array, value.type), value.type)
            known[value] = given(value, array)
    if state is not None:
        state.update({s.input.name: np.asarray(read(s.output)) for s in graph.states})
    return {name: np.asarray(read(value)) for name, value in graph.outputs}
