"""Facts of a Core ML package, whoever made it: its interface, its operators, how its weights are stored, what is known
to leave the Neural Engine, and what it contradicts itself in."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from edgec.receipt_text import leaving_lines
from edgec.residency import residency_facts
from edgec.runtime.coreml.check import contradictions
from edgec.runtime.coreml.description import Interface
from edgec.runtime.coreml.package import read_package
from edgec.runtime.coreml.program import Block, Function, Operation
from edgec.runtime.errors import RunError

CODED = "constexpr_"


def inspect_package(directory: Path) -> Iterator[str]:
    """RunError when it is no package that can be read, and after all lines when it contradicts itself."""
    package = read_package(directory)
    size = sum(path.stat().st_size for path in directory.rglob("*") if path.is_file())
    yield f"{directory.name}: specification version {package.specification}, {size:,} B"
    for key, text in sorted(package.description.metadata.items()):
        yield f"  {key}: {text}"
    for interface in package.description.functions:
        function = package.program.functions.get(interface.name)
        yield from _interface(interface, interface.name == package.description.default)
        if function is not None:
            yield from _operators(function)
    yield from leaving_lines(residency_facts(package))
    wrong = contradictions(package)
    yield from (f"  WRONG: {finding}" for finding in wrong)
    if wrong:
        raise RunError(f"{directory.name} contradicts itself in {len(wrong)} point{'s' * (len(wrong) > 1)}")


def _interface(interface: Interface, default: bool) -> Iterator[str]:
    yield f"function {interface.name}{' (default)' if default else ''}"
    for kind, features in (("input", interface.inputs), ("output", interface.outputs), ("state", interface.states)):
        for feature in features:
            optional = ", optional" if feature.optional else ""
            yield f"  {kind:6} {feature.name} {feature.type}{optional}" + (f": {feature.text}" if feature.text else "")


def _operators(function: Function) -> Iterator[str]:
    """Counts of what computes, and the forms of stored weights."""
    kinds = Counter(op.type for op in _all(function.block) if op.type != "const")
    computing = {kind: n for kind, n in kinds.items() if not kind.startswith(CODED)}
    yield f"  {sum(computing.values())} operators of {function.opset}: " + _listed(computing)
    coded = {kind.removeprefix(CODED): n for kind, n in kinds.items() if kind.startswith(CODED)}
    if coded:
        yield f"  {sum(coded.values())} steps make weights of codes: " + _listed(coded)


def _all(block: Block) -> Iterator[Operation]:
    for op in block.operations:
        yield op
        for inner in op.blocks:
            yield from _all(inner)


def _listed(kinds: dict[str, int]) -> str:
    return ", ".join(f"{n} {kind}" for kind, n in sorted(kinds.items(), key=lambda item: (-item[1], item[0])))
