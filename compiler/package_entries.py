"""The graphs that become a package: one, one a shape, or one a function."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from edgec.entries import join_modules
from edgec.ir.graph import Module
from edgec.made import Request
from edgec.onnx_import.importer import import_model
from edgec.onnx_import.options import ImportOptions
from edgec.picture import use_pictures
from edgec.states import make_states
from edgec.targets.coreml.deployment import Deployment

STATES = 18  # the first iOS that has them


@dataclass(frozen=True)
class Entries:
    """`shapes` are those that each entry was imported with; `colors` says which inputs are pictures, and of which order
    of channels; `states` are the pairs that became states."""

    module: Module
    shapes: Mapping[str, ImportOptions]
    colors: Mapping[str, str]
    states: Mapping[str, str]
    notes: tuple[str, ...]


def package_entries(module: Module, request: Request, deployment: Deployment) -> Entries:
    """`module` is the model as it was imported, for the first of all shapes."""
    package = request.options.package
    wanted = {name: replace(request.imported, shapes=shapes) for name, shapes in _shapes(request).items()}
    joined = join_modules(_imported(module, request, wanted)) if len(wanted) > 1 else module
    states = package.states if deployment.number >= STATES else {}
    notes: tuple[str, ...] = ()
    if package.states and not states:
        notes = (f"{deployment.systems} has no states: what --state names stays an input and an output",)
    colors: dict[str, str] = {}
    for graph in joined.entries.values():
        colors = use_pictures(graph, request.images)
        make_states(graph, states)
    return Entries(joined, wanted, colors, states, notes)


def _imported(
    module: Module, request: Request, wanted: Mapping[str, ImportOptions]
) -> Iterator[tuple[str, Module]]:
    for number, (name, options) in enumerate(wanted.items()):
        if number and number % 16 == 0:
            request.progress(f"importing shape {number} of {len(wanted)}")
        yield name, import_model(request.model, options) if number else module


def _shapes(request: Request) -> dict[str, Mapping[str, tuple[int, ...]]]:
    package = request.options.package
    if package.functions:
        return dict(package.functions)
    return {"main": request.imported.shapes, **{_shown(shapes): shapes for shapes in package.variants}}


def _shown(shapes: Mapping[str, tuple[int, ...]]) -> str:
    return " ".join(f"{name}={'x'.join(map(str, dims))}" for name, dims in shapes.items())
