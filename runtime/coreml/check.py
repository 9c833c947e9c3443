"""`check_package(path)`: what a saved package contradicts itself in, and what no reload by coremltools would notice.

Operators and their forms against the declared opset, the opset against the specification version, the description
against the functions, names, types, constants and weight records. Shapes that operators compute are the evaluator's to
check.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from edgec.runtime.coreml.check_block import check_function, check_values
from edgec.runtime.coreml.check_interface import check_interface
from edgec.runtime.coreml.evaluate import OPSETS
from edgec.runtime.coreml.package import Package, read_package
from edgec.runtime.coreml.program import Function
from edgec.runtime.coreml.wire import PackageError


@dataclass(frozen=True)
class Finding:
    """One contradiction; `function` is '' when it is the package's."""

    function: str
    sentence: str

    def __str__(self) -> str:
        return f"function '{self.function}': {self.sentence}" if self.function else self.sentence


def check_package(path: str | Path) -> list[Finding]:
    """All findings of a package; PackageError when it cannot be read at all."""
    return contradictions(read_package(path))


def contradictions(package: Package) -> list[Finding]:
    """The same of a package that is read already."""
    findings = [Finding("", sentence) for sentence in _package(package)]
    for name, function in package.program.functions.items():
        findings += [Finding(name, sentence) for sentence in _function(function, package)]
    return findings + [Finding("", sentence) for sentence in _weights(package)]


def _package(package: Package) -> Iterator[str]:
    described = package.description
    functions = package.program.functions
    if package.program.version != 1:
        yield f"the program has version {package.program.version}, and 1 is known"
    yield from check_values(package.program.attributes.values(), "the program", package)
    if not functions:
        yield "the program has no function"
    names = [interface.name for interface in described.functions]
    if len(set(names)) != len(names):
        yield f"a function is described twice: {', '.join(names)}"
    for name in functions:
        if name not in names:
            yield f"the program has the function '{name}', which is not described"
    for name in names:
        if name not in functions:
            yield f"the function '{name}' is described, but the program has none of that name"
    if described.default not in names:
        yield f"the default function '{described.default}' is not described"
    if described.several and package.specification < 9:
        yield f"several functions need specification version 9, and the package has {package.specification}"


def _function(function: Function, package: Package) -> Iterator[str]:
    if function.opset not in OPSETS:
        yield f"the opset '{function.opset}' is unknown; known are {', '.join(OPSETS)}"
        return
    needed = OPSETS[function.opset] + 1
    if package.specification != needed:
        yield f"the opset {function.opset} goes with specification version {needed}, not {package.specification}"
    if set(function.blocks) != {function.opset}:
        yield f"it declares the opset {function.opset} and has blocks of {', '.join(sorted(function.blocks)) or 'none'}"
        if function.opset not in function.blocks:
            return
    yield from check_function(function, package)
    for interface in package.description.functions:
        if interface.name == function.name:
            yield from check_interface(interface, function)


def _weights(package: Package) -> Iterator[str]:
    """The records of each weight file that the program uses, one behind the other, as many as the header says."""
    for name, file in sorted(package.weights.items()):
        try:
            records = file.records()
        except PackageError as error:
            yield str(error)
            continue
        if len(records) != file.count:
            yield f"the header of {name} counts {file.count} records, and the file has {len(records)}"
