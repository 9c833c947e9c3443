"""One function for several shapes: the program made for each of them, where these programs are one and the same.

A model is imported for fixed shapes, and what its nodes say of shapes becomes constants. So an input may have several
shapes only where the programs of all of them differ in nothing but the shapes that they declare. That is looked at:
every shape is emitted, and all programs are compared, operator by operator and constant by constant. What differs in a
type becomes an unknown dimension. One difference more is legal: a reshape to a shape of which one element follows the
input's says -1 there, which means the same.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from edgec.ir.errors import UnsupportedError, UsageError
from edgec.ir.graph import Graph, Module, Op
from edgec.targets.apple.features import Feature, Interface, Presentation
from edgec.targets.apple.sizes import Enumerated, Ranged, Sizes
from edgec.targets.coreml.deployment import Deployment
from edgec.targets.coreml.describe import description_of
from edgec.targets.coreml.program import PLAIN, Emitted, emit

MOST_SHAPES = 128  # coremltools' guide, Flexible Input Shapes
TRY_IT = (
    "inputs of several shapes are reported to fail on some systems (coremltools#2730): try each shape on the devices "
    "that you ship for"
)
MIXED = "ranges beside inputs of one shape are reported to fail where there are states (coremltools#2548)"
Shapes = tuple[tuple[int, ...], ...]  # of one input or output, at each of the module's entries


def emit_flexible(
    module: Module, deployment: Deployment, halves: bool, wide: Collection[Op] = (),
    presentation: Presentation = PLAIN, ranged: bool = False,
) -> Emitted:  # fmt: skip
    """The entries, which are one model at several shapes, as the only function. `ranged`: its inputs take every shape
    between the least and the greatest, all of which must be entries. UnsupportedError where the programs differ,
    UsageError where the shapes are none that a package can have."""
    (name, graph), *others = module.entries.items()

    def emitted(graph: Graph) -> Emitted:
        return emit(Module(module.constants, {"main": graph}), deployment, halves, wide, presentation)

    first = emitted(graph)
    interfaces = [first.interface]
    for entry, other in others:  # one at a time: weights are large
        made = emitted(other)
        _Comparison(first, name, entry).run(made)
        interfaces.append(made.interface)
    interface = _interface(interfaces, ranged)
    _check(interface, deployment)
    first.model.description.CopyFrom(description_of([interface], "main", presentation.metadata))
    function = first.functions[0]
    notes = (*function.notes, *_notes(interface))
    return replace(first, functions=(replace(function, interface=interface, notes=notes),))


def _interface(interfaces: Sequence[Interface], ranged: bool) -> Interface:
    """The first interface, with the sizes that all of them have."""
    first = interfaces[0]
    inputs = [tuple(i.inputs[n].shape for i in interfaces) for n in range(len(first.inputs))]
    outputs = [tuple(i.outputs[n].shape for i in interfaces) for n in range(len(first.outputs))]
    if [i.states for i in interfaces] != [first.states] * len(interfaces):
        raise UsageError("a state keeps its shape, and here it changes with an input's: give its input one shape")
    if ranged:
        _check_all_there(inputs)
    return replace(
        first,
        inputs=tuple(_sized(f, s, ranged) for f, s in zip(first.inputs, inputs, strict=True)),
        outputs=tuple(_sized(f, s, False) for f, s in zip(first.outputs, outputs, strict=True)),
    )


def _sized(feature: Feature, shapes: Shapes, ranged: bool) -> Feature:
    if len(set(shapes)) == 1:
        return feature
    sizes: Sizes = Enumerated(shapes)
    if ranged:
        columns = list(zip(*shapes, strict=True))
        sizes = Ranged(tuple(map(min, columns)), tuple(map(max, columns)), shapes)
    return replace(feature, sizes=sizes)


def _check_all_there(inputs: Sequence[Shapes]) -> None:
    """Of one length, which several dimensions may have, every size: ranges of two would be all of their pairs."""
    columns = {column for shapes in inputs for column in zip(*shapes, strict=True) if len(set(column)) > 1}
    if len(columns) > 1:
        raise UsageError("a range of sizes is one dimension's, and here several vary: give the shapes one by one")
    for column in columns:
        if len(set(column)) != max(column) - min(column) + 1:
            raise UsageError(f"a range needs every size from {min(column)} to {max(column)}")


def _check(interface: Interface, deployment: Deployment) -> None:
    flexible = [f.name for f in interface.inputs if isinstance(f.sizes, Enumerated)]
    if len(flexible) > 1 and deployment.number < 18:
        raise UsageError(
            f"inputs {', '.join(map(repr, flexible))} have several shapes, and up to iOS 17 one input can: "
            "build for coreml:ios18"
        )
    most = max((len(f.sizes.shapes) for f in interface.inputs if isinstance(f.sizes, Enumerated)), default=0)
    if most > MOST_SHAPES:
        raise UsageError(f"an input has {most} shapes, and Core ML takes {MOST_SHAPES}: give a range")


def _notes(interface: Interface) -> tuple[str, ...]:
    """What is known of Core ML's own part, which is not run here."""
    sized = [f.sizes for f in interface.inputs]
    notes = [TRY_IT]
    if interface.states and None in sized and any(isinstance(s, Ranged) for s in sized):
        notes.append(MIXED)
    return tuple(notes)


@dataclass
class _Comparison:
    """Of the first program with another one; the first becomes what is true of both."""

    emitted: Emitted
    first: str
    other: str

    def run(self, other: Emitted) -> None:
        function, twin = (e.model.mlProgram.functions["main"] for e in (self.emitted, other))
        for named, same in zip(function.inputs, twin.inputs, strict=True):
            _loosen(named.type, same.type)
        block = function.block_specializations[function.opset]
        self._block(block, twin.block_specializations[function.opset])
        self._weights(block, self.emitted.weights, other.weights)

    def _weights(self, block: Any, ours: bytes, theirs: bytes) -> None:
        """Their places are those in the program, which are compared already; here it is what lies there."""
        if ours == theirs:
            return
        differ = next(i for i, (a, b) in enumerate(zip(ours, theirs, strict=True)) if a != b)
        stored = [(v.blobFileValue.offset, op) for op in _operations(block) for v in _values(op)]
        _, op = max((s for s in stored if 0 < s[0] <= differ), key=lambda s: s[0])
        raise UnsupportedError([self._constant(op, _readers(block))])

    def _block(self, block: Any, other: Any) -> None:
        for named, same in zip(block.inputs, other.inputs, strict=True):
            _loosen(named.type, same.type)
        readers = _readers(block)
        for op, same in zip(block.operations, other.operations, strict=False):
            self._operation(op, same, readers)
        assert len(block.operations) == len(other.operations), "one program is the beginning of the other"
        assert block.outputs == other.outputs, "outputs have the names of features"

    def _operation(self, op: Any, other: Any, readers: dict[str, list[tuple[Any, str]]]) -> None:
        if op.type != other.type or op.inputs != other.inputs or [o.name for o in op.outputs] != [
            o.name for o in other.outputs
        ]:  # fmt: skip
            raise UnsupportedError([f"{self._whose(op)} {self._sentence('is another operator')}"])
        if op.attributes != other.attributes and not self._settled(op, other, readers):
            raise UnsupportedError([self._constant(op, readers)])
        for named, same in zip(op.outputs, other.outputs, strict=True):
            _loosen(named.type, same.type)
        for block, twin in zip(op.blocks, other.blocks, strict=True):
            self._block(block, twin)

    def _settled(self, op: Any, other: Any, readers: dict[str, list[tuple[Any, str]]]) -> bool:
        """Whether it is the shape of reshapes, and one -1 in it is true of both."""
        read = readers.get(op.outputs[0].name, ())
        if op.type != "const" or not read or any((r.type, p) != ("reshape", "shape") for r, p in read):
            return False
        ours = op.attributes["val"].immediateValue.tensor.ints.values
        theirs = other.attributes["val"].immediateValue.tensor.ints.values
        places = [i for i, (a, b) in enumerate(zip(ours, theirs, strict=True)) if a != b]
        if len(places) != 1 or -1 in ours[: places[0]] or -1 in ours[places[0] + 1 :]:
            return False
        ours[places[0]] = -1
        return True

    def _constant(self, op: Any, readers: dict[str, list[tuple[Any, str]]]) -> str:
        """The sentence about a constant, or an operator's own parameter, that is not the same."""
        read = readers.get(op.outputs[0].name, []) if op.type == "const" else []
        what = next((f"'{parameter}' of {self._whose(reader)}" for reader, parameter in read), self._whose(op))
        return f"{what} {self._sentence('is another one')}"

    def _whose(self, op: Any) -> str:
        """For people: the operator of the model that became this one."""
        found = next((self.emitted.origins[o.name] for o in op.outputs if o.name in self.emitted.origins), None)
        return op.type if found is None else f"{found.label} ({op.type})"

    def _sentence(self, what: str) -> str:
        return f"{what} for {self.other} than for {self.first}, so that one function cannot serve both shapes"


def _readers(block: Any) -> dict[str, list[tuple[Any, str]]]:
    """Who reads a name, and as which parameter."""
    found: dict[str, list[tuple[Any, str]]] = {}
    for op in _operations(block):
        for parameter, argument in op.inputs.items():
            for binding in argument.arguments:
                if binding.WhichOneof("binding") == "name":
                    found.setdefault(binding.name, []).append((op, parameter))
    return found


def _operations(block: Any) -> Iterator[Any]:
    for op in block.operations:
        yield op
        for inner in op.blocks:
            yield from _operations(inner)


def _values(op: Any) -> Iterator[Any]:
    """Constants that stand in an operator."""
    yield from op.attributes.values()
    for argument in op.inputs.values():
        yield from (b.value for b in argument.arguments if b.WhichOneof("binding") == "value")


def _loosen(type: Any, other: Any) -> None:
    """Where the two differ, the type's dimension becomes unknown."""
    if type.WhichOneof("type") != "tensorType":
        return
    for dim, same in zip(type.tensorType.dimensions, other.tensorType.dimensions, strict=True):
        if dim != same:
            dim.unknown.variadic = False
