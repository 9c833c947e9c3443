"""`--state INPUT=OUTPUT`: what leaves by an output comes in by an input at the next call, and stays inside in between.

Caches of keys and values, and recurrent states. `INPUT=OUTPUT:last` keeps the last entries of an output that is longer
than the input, which is how exporters write caches: [past, new]. What comes first is dropped, so that the state is a
window over the latest entries. States begin with zeros.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from edgec.ir.build import Builder
from edgec.ir.errors import UsageError
from edgec.ir.graph import Graph, State, Value
from edgec.ir.types import Type

LAST = ":last"


def make_states(graph: Graph, pairs: Mapping[str, str]) -> None:
    """Inputs become states, by name the output that feeds each (with or without `:last`). UsageError where a pair does
    not fit, or a name stands twice."""
    outputs = dict(graph.outputs)
    gone = [text.removesuffix(LAST) for text in pairs.values()]
    for name, text in pairs.items():
        output = text.removesuffix(LAST)
        shown = f"--state {name}={text}"
        value = next((v for v in graph.inputs if v.name == name), None)
        if value is None or any(s.input is value for s in graph.states):
            raise UsageError(f"{shown}: the model has no input '{name}'; it has {_names(v.name for v in graph.inputs)}")
        if output not in outputs:
            raise UsageError(f"{shown}: the model has no output '{output}'; it has {_names(outputs)}")
        if gone.count(output) > 1:
            raise UsageError(f"{shown}: the output '{output}' feeds two states; give each its own")
        last = _last(graph, value.type, outputs[output], shown) if text.endswith(LAST) else outputs[output]
        if last.type != value.type:
            raise UsageError(f"{shown}: the input is {value.type} and the output {last.type}{_hint(value, last, text)}")
        zeros = graph.module.intern(np.zeros(value.type.dims, value.type.numpy))
        graph.states.append(State(value, last, zeros))
    graph.outputs = [(name, value) for name, value in graph.outputs if name not in gone]
    if not graph.outputs:
        raise UsageError("--state: every output became a state, and one must be left")


def _last(graph: Graph, type: Type, longer: Value, shown: str) -> Value:
    """The last entries, as many as the type has, along the only axis where there are more."""
    axis = _longer_axis(type, longer.type)
    if axis is None:
        raise UsageError(f"{shown}: {longer.type} is not {type} with more entries along one axis")
    dims = longer.type.dims
    starts = tuple(d - type.dims[axis] if i == axis else 0 for i, d in enumerate(dims))
    return Builder(graph, source=shown).op("slice", longer, starts=starts, stops=dims, steps=(1,) * len(dims))


def _longer_axis(type: Type, other: Type) -> int | None:
    if type.dtype != other.dtype or type.rank != other.rank:
        return None
    axes = [i for i, (short, long) in enumerate(zip(type.dims, other.dims, strict=True)) if short != long]
    return axes[0] if len(axes) == 1 and type.dims[axes[0]] < other.dims[axes[0]] else None


def _hint(value: Value, output: Value, text: str) -> str:
    if text.endswith(LAST) or _longer_axis(value.type, output.type) is None:
        return "; they must be of one type"
    return f"; write {text}{LAST} to keep its last entries"


def _names(names: Iterable[str]) -> str:
    return ", ".join(names) or "none"
