"""A module as a Core ML model: one MIL function an entry, the description, the weights' bytes.

coremltools builds the program (its type inference is a first gate) and writes it; its passes do not run, since they
change what was chosen: casts, palettes, scales. What apps read of it, the description, is ours.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from edgec.ir.errors import UsageError
from edgec.ir.graph import Module, Op, Value
from edgec.targets.apple.features import Arrays, Feature, Interface, Presentation, interface_of
from edgec.targets.coreml.deployment import Deployment
from edgec.targets.coreml.describe import description_of
from edgec.targets.coreml.function import function_of
from edgec.targets.coreml.mil import Program, export, mb
from edgec.targets.coreml.shared_weights import share_weights
from edgec.targets.coreml.silence import silent
from edgec.targets.files import temporary_folder

PLAIN = Presentation()


@dataclass(frozen=True)
class EmittedFunction:
    """`operators` is how many MIL operators there are that are not constants, `origins` whose part a MIL variable is,
    by its name, `results` the names of values, `notes` what whoever builds should know."""

    interface: Interface
    operators: int
    origins: dict[str, Op]
    results: dict[Value, str]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Emitted:
    """`model` is Model.proto's message, `weights` the bytes of weight.bin (empty where there are none), `halves`
    whether floats are computed in f16, `functions` what the entries became, the default one first. What is asked of
    the model itself is of that one."""

    model: Any
    weights: bytes
    halves: bool
    functions: tuple[EmittedFunction, ...]

    @property
    def interface(self) -> Interface:
        return self.functions[0].interface

    @property
    def inputs(self) -> tuple[Feature, ...]:
        return self.interface.inputs

    @property
    def outputs(self) -> tuple[Feature, ...]:
        return self.interface.outputs

    @property
    def operators(self) -> int:
        return self.functions[0].operators

    @property
    def origins(self) -> dict[str, Op]:
        return self.functions[0].origins

    @property
    def results(self) -> dict[Value, str]:
        return self.functions[0].results

    @property
    def notes(self) -> tuple[str, ...]:
        """Of all functions."""
        return tuple(dict.fromkeys(note for function in self.functions for note in function.notes))


def emit(
    module: Module, deployment: Deployment, halves: bool, wide: Collection[Op] = (),
    presentation: Presentation = PLAIN,
) -> Emitted:  # fmt: skip
    """The entries as functions of one model, which share weights; the only entry of a module is the function `main`.
    `halves`: floats are computed in f16, but for those of the operators in `wide`. UnsupportedError lists every
    operator that has no route; UsageError for what was asked for and cannot be."""
    names = function_names(module, deployment, presentation)
    arrays = Arrays("Core ML", halves=deployment.number >= 16, states=deployment.number >= 18)
    interfaces = {
        entry: interface_of(module.entries[entry], arrays, presentation, name) for entry, name in names.items()
    }
    program = Program()
    program.default_function_name = next(iter(names.values()))
    program.export_as_multifunction = len(names) > 1
    found = []
    with quiet():
        for entry, interface in interfaces.items():
            function, e = function_of(module.entries[entry], interface, deployment, halves, wide)
            program.add_function(interface.function, function)
            operators = sum(op.op_type != "const" for op in function.operations)
            found.append(EmittedFunction(interface, operators, e.origins, e.results, tuple(e.notes)))
        share_weights(program)
        description = description_of(list(interfaces.values()), program.default_function_name, presentation.metadata)
        model, weights = _written(program, description, deployment)
    return Emitted(model, weights, halves, tuple(found))


def function_names(module: Module, deployment: Deployment, presentation: Presentation) -> dict[str, str]:
    """Functions by entry, the default one first. UsageError where a package cannot have them."""
    if len(module.entries) == 1:
        return dict.fromkeys(module.entries, "main")
    names = {entry: entry for entry in module.entries}
    odd = [entry for entry in names if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", entry)]
    if odd:
        raise UsageError(f"'{odd[0]}' cannot be a function's name: write letters, digits and _")
    if deployment.number < 18:
        raise UsageError(f"packages have one function up to iOS 17, and these are {len(names)}: build for coreml:ios18")
    if presentation.labels:
        raise UsageError("--labels: a package of several functions cannot be a classifier")
    default = presentation.default or next(iter(names))
    if default not in names:
        raise UsageError(f"there is no function '{default}'; legal: {', '.join(names)}")
    return {default: default, **names}


def _written(program: Any, description: Any, deployment: Deployment) -> tuple[Any, bytes]:
    with temporary_folder("edgec-coreml-") as folder:
        model = export(
            program, str(folder), specification_version=deployment.specification, convert_to="mlprogram",
            model_description=description,
        )  # fmt: skip
        blob = folder / "weight.bin"
        return model, blob.read_bytes() if blob.exists() else b""


@contextmanager
def quiet() -> Iterator[None]:
    """coremltools counts the names that it makes over all programs of a process, and comments on every cast."""
    mb.name_count.clear()
    with silent(logging.WARNING):
        yield
