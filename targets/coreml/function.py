"""A graph as a MIL function: inputs and states, its operators, what leaves.

A state is read once, in front of everything, and written once, behind everything.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np

from edgec.ir.errors import IRError, UnsupportedError, UsageError
from edgec.ir.graph import Graph, Op
from edgec.targets.apple.features import LACKS, Interface
from edgec.targets.apple.labels import Classifier
from edgec.targets.coreml.deployment import Deployment
from edgec.targets.coreml.emission import Emission, NoRoute
from edgec.targets.coreml.interface import from_interface, to_interface
from edgec.targets.coreml.mil import DTYPES, OPSETS, Function, Var, mb, mil_list
from edgec.targets.coreml.routes import route_of
from edgec.targets.coreml.stored_values import as_stored


def function_of(
    graph: Graph, interface: Interface, deployment: Deployment, halves: bool, wide: Collection[Op]
) -> tuple[Any, Emission]:
    """The function, and what was noted when it was made. UnsupportedError lists every operator that has no route,
    UsageError says which state cannot be one."""
    _check_states(graph, interface, halves)
    specs = {f.feature: mb.TensorSpec(f.shape, dtype=DTYPES[f.stored]) for f in interface.inputs}
    specs |= {f.feature: mb.StateTensorSpec(f.shape, dtype=DTYPES[f.stored]) for f in interface.states}
    refused: list[str] = []
    with Function(specs, OPSETS[deployment.name]) as function:
        e = Emission(graph, deployment, halves, wide, _names(interface))
        values = {value.name: value for value in graph.inputs}
        for feature in interface.inputs:
            value = values[feature.name]
            e.bind(value, from_interface(e, function.inputs[feature.feature], value))
        for feature in interface.states:
            value = values[feature.name]
            e.bind(value, from_interface(e, e.mil("read_state", input=function.inputs[feature.feature]), value))
        for op in graph.ops:
            _emit(e, op, refused)
        if refused:
            raise UnsupportedError(refused)
        _write_states(e, function, interface)
        function.set_outputs(_leaving(e, interface))
    return function, e


def _names(interface: Interface) -> set[str]:
    labels = interface.classifier
    own = set() if labels is None else {labels.label, labels.probabilities}
    return own | {f.feature for f in (*interface.inputs, *interface.states, *interface.outputs)}


def _check_states(graph: Graph, interface: Interface, halves: bool) -> None:
    kept = {f.name for f in interface.states}
    for state in graph.states:
        if state.input.name in kept and np.any(graph.module.constants[state.initial]):
            raise UsageError(
                f"state '{state.input.name}' does not begin with zeros, and Core ML's states do; leave it an input"
            )
    if kept and not halves:
        raise UsageError(
            f"state '{min(kept)}': Core ML keeps states in float16, and this package computes in float32: build with "
            "--precision fp16, or leave it an input and an output"
        )


def _write_states(e: Emission, function: Any, interface: Interface) -> None:
    outputs = {s.input.name: s.output for s in e.graph.states}
    for feature in interface.states:
        array = to_interface(e, e.made(outputs[feature.name]), feature)
        e.mil("coreml_update_state", state=function.inputs[feature.feature], value=array)


def _leaving(e: Emission, interface: Interface) -> list[Var]:
    """The outputs, states that leave as such included; a classifier's come first, and are made last."""
    values = [value for _, value in e.graph.outputs]
    values += [s.output for s in e.graph.states][: len(interface.outputs) - len(values)]
    arrays = []
    for feature, value in zip(interface.outputs, values, strict=True):
        arrays.append(to_interface(e, e.made(value), feature))
        arrays[-1].name = feature.feature
    if interface.classifier is None:
        return arrays
    return [*_classified(e, arrays[0], interface.classifier), *arrays[1:]]


def _classified(e: Emission, probabilities: Var, classifier: Classifier) -> list[Var]:
    """Label and dictionary. coremltools writes labels where they are used if that is the last operator of all."""
    probabilities.name = e.name("probabilities")
    labels = mb.const(val=mil_list(list(classifier.labels)), name=e.name("labels"))
    label, dictionary = e.mil("classify", probabilities=probabilities, classes=labels)
    label.name, dictionary.name = classifier.label, classifier.probabilities
    return [label, dictionary]


def _emit(e: Emission, op: Op, refused: list[str]) -> None:
    """The results of an operator; a stand-in where it has no route, so that those behind it are looked at, too."""
    if not any(value.type.size for value in op.results):
        return  # who reads it does without
    e.begin(op)
    try:
        for value in (*op.inputs, *op.results):
            if value is not None and value.type.dtype in LACKS:
                raise NoRoute(f"is of {value.type.dtype}, which Core ML has not")
        route = route_of(op)
        if route is None:
            raise NoRoute("has no form in Core ML")
        made = route(e, op)
        results = made if isinstance(made, (list, tuple)) else [made]
        for value, var in zip(op.results, results, strict=True):
            e.bind(value, as_stored(e, op, value, var))
    except NoRoute as reason:
        refused.append(f"{op.label} {reason}")
        for value in op.results:
            e.bind(value, e.stand_in(value))
    except (ValueError, TypeError, IndexError, NotImplementedError) as error:
        raise IRError(f"{op.label}: coremltools refuses what it became: {error}") from error
