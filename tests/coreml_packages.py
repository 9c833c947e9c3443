"""Core ML packages made by coremltools, from programs written with its Builder, without its passes."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import coremltools as ct
import numpy as np
from coremltools.converters.mil import mil
from coremltools.converters.mil.mil import Builder as mb
from coremltools.converters.mil.mil import types
from coremltools.proto import MIL_pb2, Model_pb2

from edgec.runtime.coreml.evaluate import Evaluator
from edgec.runtime.coreml.package import read_package

TARGETS = {5: ct.target.iOS15, 6: ct.target.iOS16, 7: ct.target.iOS17, 8: ct.target.iOS18, 9: ct.target.iOS26}
TYPES = {
    "float32": types.fp32,
    "float16": types.fp16,
    "int32": types.int32,
    "uint16": types.uint16,
    "int8": types.int8,
    "uint8": types.uint8,
    "bool": types.bool,
}

Array = np.ndarray[Any, Any]
Build = Callable[..., Any]


def placeholder(given: Any) -> Any:
    """An input like an array, of a shape in float32, or as coremltools wants it."""
    if isinstance(given, np.ndarray):
        return mb.placeholder(shape=given.shape, dtype=TYPES[given.dtype.name])
    return mb.placeholder(shape=given, dtype=types.fp32) if isinstance(given, tuple) else given


def program(build: Build, inputs: Mapping[str, Any], opset: int) -> Any:
    """coremltools' program of one function, whose body `build` writes; keyword arguments are its inputs."""
    made = mil.Program()
    with mil.Function({n: placeholder(g) for n, g in inputs.items()}, opset_version=TARGETS[opset]) as function:
        outputs = build(**function.inputs)
        function.set_outputs(list(outputs) if isinstance(outputs, list | tuple) else [outputs])
        made.add_function("main", function)
    return made


def save(path: Path, build: Build, given: Mapping[str, Any], opset: int = 8, **options: Any) -> Path:
    """The package of such a program; `options` are ct.convert's."""
    model = ct.convert(
        program(build, given, opset),
        source="milinternal",
        convert_to="mlprogram",
        pass_pipeline=ct.PassPipeline.EMPTY,
        minimum_deployment_target=TARGETS[opset],
        compute_precision=ct.precision.FLOAT32,
        skip_model_load=True,
        **options,
    )
    model.save(str(path))
    return path


def mil_program(build: Build, inputs: Mapping[str, Any], opset: int, folder: Path) -> Path:
    """A package around the program as it was built, with no pass at all: types stay that Core ML's interface has not,
    so that it has no description of its inputs and outputs."""
    from coremltools.converters.mil.backend.mil.load import MILProtoExporter

    weights = folder / "Data/com.apple.CoreML/weights"
    weights.mkdir(parents=True)
    exporter = MILProtoExporter(program(build, inputs, opset), str(weights), specification_version=opset + 1)
    model = Model_pb2.Model(specificationVersion=opset + 1, mlProgram=exporter.export())
    model.description.SetInParent()
    (weights.parent / "model.mlmodel").write_bytes(model.SerializeToString())
    (folder / "Manifest.json").write_text(
        '{"itemInfoEntries": {"a": {"path": "com.apple.CoreML/model.mlmodel"}, '
        '"b": {"path": "com.apple.CoreML/weights"}}, "rootModelIdentifier": "a"}'
    )
    return folder


def computed(build: Build, inputs: Mapping[str, Array], opset: int = 8, *, halves: bool = True) -> list[Any]:
    """What the evaluator makes of a program, saved and read again, in the order of its outputs."""
    with tempfile.TemporaryDirectory() as folder:
        evaluator = Evaluator(
            read_package(mil_program(build, inputs, opset, Path(folder) / "x.mlpackage")), halves=halves
        )
        return list(evaluator.run(inputs).values())


A = np.arange(12, dtype=np.float32).reshape(3, 4)


def one(build: Build, x: Array = A, opset: int = 8) -> Array:
    """The only output of a program with the input x."""
    return np.asarray(computed(build, {"x": x}, opset)[0])


def f32(value: float) -> np.float32:
    return np.float32(value)


def read_model(path: Path) -> Any:
    """The generated message of a package's model."""
    model = Model_pb2.Model()
    model.ParseFromString(model_file(path).read_bytes())
    return model


def model_file(path: Path) -> Path:
    return path / "Data/com.apple.CoreML/model.mlmodel"


def weight_file(path: Path) -> Path:
    return path / "Data/com.apple.CoreML/weights/weight.bin"


def block_of(model: Any, function: str = "main") -> Any:
    found = model.mlProgram.functions[function]
    return found.block_specializations[found.opset]


def operation(model: Any, kind: str, index: int = 0, function: str = "main") -> Any:
    """The message of the index-th operation of a kind."""
    return [o for o in block_of(model, function).operations if o.type == kind][index]


def constant(model: Any, name: str) -> Any:
    """The value message of the constant of that name."""
    for o in block_of(model).operations:
        if o.type == "const" and o.outputs[0].name == name:
            return o.attributes["val"]
    raise KeyError(name)


__all__ = ["MIL_pb2", "Model_pb2", "ct", "mb", "types"]
