"""A module with objects of its own over the same constants, for trying something out."""

from __future__ import annotations

from collections.abc import Mapping

from edgec.ir.graph import Graph, Module, Op, State, Value


def copy_module(module: Module) -> tuple[Module, dict[Value, Value]]:
    """The copy, and of each value of the module the one that stands for it there."""
    made = Module(dict(module.constants), narrow=module.narrow.copy())
    values: dict[Value, Value] = {}
    for name, graph in module.entries.items():
        _copy_graph(graph, Graph(made, name), values)
    return made, values


def twin_of(op: Op, values: Mapping[Value, Value]) -> Op:
    """What stands for an operator in the copy, by its values there."""
    made = values[op.results[0]].op
    assert made is not None
    return made


def _copy_graph(graph: Graph, made: Graph, values: dict[Value, Value]) -> None:
    def copied(value: Value) -> Value:
        if value not in values:
            values[value] = Value(value.name, value.type, const=value.const)
            values[value].origin, values[value].scaled = value.origin, value.scaled
        return values[value]

    made.inputs = [copied(v) for v in graph.inputs]
    for op in graph.ops:
        inputs = [None if v is None else copied(v) for v in op.inputs]
        twin = Op(op.kind, inputs, dict(op.attrs), op.source)
        twin.results = [copied(v) for v in op.results]
        for value in twin.results:
            value.op = twin
        made.ops.append(twin)
    made.outputs = [(name, copied(v)) for name, v in graph.outputs]
    made.states = [State(copied(s.input), copied(s.output), s.initial) for s in graph.states]


def become(module: Module, copy: Module) -> None:
    """The module has what its changed copy has; the copy is not used any more."""
    module.constants.clear()
    module.constants.update(copy.constants)
    for name, made in copy.entries.items():
        graph = module.entries[name]
        graph.inputs, graph.ops, graph.outputs, graph.states = made.inputs, made.ops, made.outputs, made.states
