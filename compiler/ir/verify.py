"""What is legal in a graph: SSA in topological order, known operators, types that agree with their operators."""

from __future__ import annotations

from edgec.ir.check_encodings import check_encodings, check_stored
from edgec.ir.errors import IRError
from edgec.ir.graph import Graph, Module, Value
from edgec.ir.ops import OPS


def verify_module(module: Module, after: str = "") -> None:
    """IRError with the first rule that is broken; `after` names the pass that ran."""
    for graph in module.entries.values():
        try:
            verify_graph(graph)
        except IRError as error:
            raise IRError(f"after {after}: {error}" if after else str(error)) from None


def verify_graph(graph: Graph) -> None:
    known: set[Value] = set()
    for what, names in (("inputs", [v.name for v in graph.inputs]), ("outputs", [n for n, _ in graph.outputs])):
        if len(set(names)) != len(names) or not all(names):
            raise IRError(f"{graph.name}: the names of its {what} are empty or repeat: {', '.join(names)}")
    known.update(graph.inputs)
    for op in graph.ops:
        label = f"{op.kind} ({op.source})" if op.source else op.kind
        row = OPS.get(op.kind)
        if row is None:
            raise IRError(f"{label} is no operator")
        least, most = row.arity
        if len(op.inputs) < least or (most >= 0 and len(op.inputs) > most):
            raise IRError(f"{label} has {len(op.inputs)} operands; it takes {least} to {most if most >= 0 else 'any'}")
        for i, value in enumerate(op.inputs):
            if value is None:
                continue
            if value.const is not None:
                _constant(graph, value, label)
            elif value not in known:
                raise IRError(f"{label} reads operand {i} before anything computes it")
        types = row.infer([v.type.plain if v is not None else None for v in op.inputs], row.complete(op.attrs))
        if types != [r.type.plain for r in op.results]:
            raise IRError(f"{label} makes {', '.join(map(str, types))}, but {op.results} is recorded")
        for result in op.results:
            if result.op is not op or result in known:
                raise IRError(f"{label}: a result belongs to another op")
            check_encodings(graph.module.constants, result.type, constant=False)
            known.add(result)
    leaving = [*graph.outputs, *((s.input.name, s.output) for s in graph.states)]
    for name, value in leaving:
        if value.const is not None:
            _constant(graph, value, f"output {name}")
        elif value not in known:
            raise IRError(f"nothing computes the output {name}")
        if value.type.encodings:
            raise IRError(f"the output {name} is encoded")
    for state in graph.states:
        if state.input not in graph.inputs or state.input.type != state.output.type:
            raise IRError(f"the state {state.input.name} is no input, or changes its type to {state.output.type}")
        if state.initial not in graph.module.constants:
            raise IRError(f"the state {state.input.name} has no initial contents")


def _constant(graph: Graph, value: Value, label: str) -> None:
    assert value.const is not None
    array = graph.module.constants.get(value.const)
    if array is None:
        raise IRError(f"{label} reads a constant that the module does not have")
    check_encodings(graph.module.constants, value.type, constant=True)
    stored = value.type.stored
    if array.shape != stored.dims or array.dtype != stored.numpy:
        raise IRError(f"{label} reads a constant of another type than {value.type}")
    if value.type.encodings:
        try:
            check_stored(graph.module.constants, array, value.type)
        except IRError as error:
            raise IRError(f"{label}: {error}") from None
