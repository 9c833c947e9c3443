"""A module as a Core ML model: one MIL function an entry, their interfaces, the specification and the weights' bytes.

coremltools builds the program (its type inference is a first gate) and writes it; its passes do not run, since they
change what was chosen: casts, palettes, scales.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgec.ir.errors import IRError, UnsupportedError
from edgec.ir.graph import Graph, Module, Op
from edgec.targets.coreml.deployment import Deployment
from edgec.targets.coreml.emission import Emission, NoRoute
from edgec.targets.coreml.interface import Feature, features_of, from_interface, to_interface
from edgec.targets.coreml.mil import DTYPES, OPSETS, Function, Program, export, mb
from edgec.targets.coreml.routes import route_of


@dataclass(frozen=True)
class Emitted:
    """`model` is Model.proto's message, `weights` the bytes of weight.bin (empty where there are none)."""

    model: Any
    weights: bytes
    inputs: tuple[Feature, ...]
    outputs: tuple[Feature, ...]


def emit(module: Module, deployment: Deployment, halves: bool, wide: Collection[Op] = ()) -> Emitted:
    """The entry `main` as a model. `halves`: floats are computed in f16, but for those of the operators in `wide`.
    UnsupportedError lists every operator that has no route."""
    graph = module.entries["main"]
    program = Program()
    inputs, outputs = features_of(graph, deployment)
    mb.name_count.clear()  # coremltools counts the names that it makes over all programs of a process
    logging.disable(logging.WARNING)  # and comments on every cast
    try:
        program.add_function("main", _function(graph, deployment, halves, wide, inputs, outputs))
        with tempfile.TemporaryDirectory(prefix="edgec-coreml-") as folder:
            model = export(program, folder, specification_version=deployment.specification, convert_to="mlprogram")
            blob = Path(folder) / "weight.bin"
            weights = blob.read_bytes() if blob.exists() else b""
    finally:
        logging.disable(logging.NOTSET)
    return Emitted(model, weights, inputs, outputs)


def _function(
    graph: Graph, deployment: Deployment, halves: bool, wide: Collection[Op], inputs: tuple[Feature, ...],
    outputs: tuple[Feature, ...],
) -> Any:  # fmt: skip
    specs = {f.feature: mb.TensorSpec(f.shape, dtype=DTYPES[f.stored]) for f in inputs}
    refused: list[str] = []
    with Function(specs, OPSETS[deployment.name]) as function:
        e = Emission(graph, deployment, halves, wide)
        for feature, value in zip(inputs, graph.inputs, strict=True):
            e.bind(value, from_interface(e, function.inputs[feature.feature], value))
        for op in graph.ops:
            _emit(e, op, refused)
        if refused:
            raise UnsupportedError(refused)
        leaving = []
        for feature, (_, value) in zip(outputs, graph.outputs, strict=True):
            var = to_interface(e, e.made(value), feature)
            var.name = feature.feature
            leaving.append(var)
        function.set_outputs(leaving)
    return function


def _emit(e: Emission, op: Op, refused: list[str]) -> None:
    """The results of an operator; a stand-in where it has no route, so that those behind it are looked at, too."""
    if not any(value.type.size for value in op.results):
        return  # who reads it does without
    e.begin(op)
    try:
        for value in (*op.inputs, *op.results):
            if value is not None and value.type.dtype in ("f64", "bf16"):
                raise NoRoute(f"is of {value.type.dtype}, which Core ML has not")
        route = route_of(op)
        if route is None:
            raise NoRoute("has no form in Core ML")
        made = route(e, op)
        results = made if isinstance(made, (list, tuple)) else [made]
        for value, var in zip(op.results, results, strict=True):
            e.bind(value, var)
    except NoRoute as reason:
        refused.append(f"{op.label} {reason}")
        for value in op.results:
            e.bind(value, e.stand_in(value))
    except (ValueError, TypeError, IndexError, NotImplementedError) as error:
        raise IRError(f"{op.label}: coremltools refuses what it became: {error}") from error
