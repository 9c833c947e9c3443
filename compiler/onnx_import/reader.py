"""Read an ONNX file: bytes in, a parsed, limited and checked ModelProto out, or a ModelError with one sentence."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import onnx
from google.protobuf.message import DecodeError
from onnx import AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto

from edgec.ir.errors import ModelError, UsageError
from edgec.onnx_import import limits
from edgec.onnx_import.tensors import external_file
from edgec.onnx_import.topology import free_names, subgraphs

OLDEST_OPSET = 7
DOMAINS = ("", "ai.onnx")  # both mean the standard operators


def read_model(path: Path) -> ModelProto:
    """Parse and check the file. External data stays where it is; its place is checked."""
    if not path.is_file():
        raise UsageError(f"the model '{path}' is not a file")
    size = path.stat().st_size
    if size > limits.FILE_BYTES:
        raise ModelError(f"the model '{path}' has {size} bytes; at most {limits.FILE_BYTES} are allowed")
    if size == 0:
        raise ModelError(f"the model '{path}' is empty")
    try:
        model = onnx.load_model_from_string(path.read_bytes())
    except (DecodeError, ValueError) as error:
        raise ModelError(f"'{path}' is not an ONNX model: {one_line(error)}") from error
    check_model(model, path)
    return model


def check_model(model: ModelProto, path: Path) -> None:
    """Everything that must hold before anything walks the model."""
    if not model.HasField("graph") or not (model.graph.node or model.graph.output):
        raise ModelError(f"'{path}' is not an ONNX model: it has no graph")
    if not model.graph.output:
        raise ModelError(f"the model '{path}' has no outputs")
    check_size(model)
    check_names(model.graph)
    standard_opset(model)
    check_external(model, path.parent)
    check_semantics(model, path)


def check_size(model: ModelProto) -> None:
    """Node count, nesting and names, before anything recursive runs."""
    graphs = [(model.graph, 1)]
    nodes = 0
    bodies = [list(f.node) for f in model.functions]
    while graphs or bodies:
        if graphs:
            graph, depth = graphs.pop()
            listed = list(graph.node)
        else:
            listed, depth = bodies.pop(), 1
        if depth > limits.NESTING:
            raise ModelError(f"graphs are nested deeper than {limits.NESTING}")
        nodes += len(listed)
        if nodes > limits.NODES:
            raise ModelError(f"the model has more than {limits.NODES} nodes")
        for node in listed:
            names = (node.name, node.op_type, *node.input, *node.output)
            if any(len(name) > limits.UNIQUE_NAME_LENGTH for name in names):
                raise ModelError(f"a name of a {node.op_type[:80]} node is longer than {limits.UNIQUE_NAME_LENGTH}")
            graphs += [(sub, depth + 1) for sub in subgraphs(node)]


def check_names(graph: GraphProto) -> None:
    """Every name that is read is made by somebody; inputs and outputs have names of their own."""
    inputs = [value.name for value in graph.input]
    outputs = [value.name for value in graph.output]
    for kind, names in (("input", inputs), ("output", outputs)):
        if "" in names:
            raise ModelError(f"an {kind} of the model has no name")
        twice = sorted({name for name in names if names.count(name) > 1}) if len(set(names)) < len(names) else []
        if twice:
            raise ModelError(f"the model has two {kind}s named '{twice[0]}'")
    lost = sorted(free_names(graph))
    if lost:
        raise ModelError(f"the tensor '{lost[0]}' is read but nothing makes it")


def standard_opset(model: ModelProto) -> int:
    """Version of the standard operators that the model uses."""
    versions = [int(o.version) for o in model.opset_import if o.domain in DOMAINS]
    if not versions:
        if all(node.domain not in DOMAINS for node in model.graph.node):
            return int(onnx.defs.onnx_opset_version())
        raise ModelError("the model does not say which opset of the standard operators it uses")
    newest = int(onnx.defs.onnx_opset_version())
    version = max(versions)
    if not OLDEST_OPSET <= version <= newest:
        raise ModelError(f"the model uses opset {version}; {OLDEST_OPSET} to {newest} are supported")
    return version


def tensors_of(nodes: list[NodeProto], initializers: list[TensorProto]) -> Iterator[TensorProto]:
    """All tensors stored in a graph: initializers, attributes, and those of subgraphs."""
    yield from initializers
    for node in nodes:
        for attribute in node.attribute:
            if attribute.type == AttributeProto.TENSOR:
                yield attribute.t
            yield from attribute.tensors
        for sub in subgraphs(node):
            yield from tensors_of(list(sub.node), list(sub.initializer))


def check_external(model: ModelProto, folder: Path) -> None:
    """Shapes of all stored tensors, and where external data lies: in the model's folder and not beyond a limit."""
    files: dict[Path, int] = {}
    for tensor in tensors_of(list(model.graph.node), list(model.graph.initializer)):
        limits.check_shape(tensor.dims, f"tensor '{tensor.name}'")
        if tensor.data_location == TensorProto.EXTERNAL:
            file = external_file(tensor, folder)[0]
            files[file] = file.stat().st_size
    if sum(files.values()) > limits.EXTERNAL_BYTES:
        raise ModelError(f"external data is larger than {limits.EXTERNAL_BYTES} bytes")


def check_semantics(model: ModelProto, path: Path) -> None:
    """onnx's own checker, whose rules about operators, attributes and types are the standard's."""
    try:
        onnx.checker.check_model(str(path) if uses_external(model) else model, skip_opset_compatibility_check=True)
    except onnx.checker.ValidationError as error:
        # the importer sorts nodes by itself
        if "topologically sorted" not in str(error):
            raise ModelError(f"the model is broken: {one_line(error)}") from error
    except (ValueError, RuntimeError, UnicodeError) as error:
        raise ModelError(f"the model is broken: {one_line(error)}") from error
    try:
        onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=False)
    except onnx.shape_inference.InferenceError as error:
        raise ModelError(f"the model is broken: {one_line(error)}") from error
    except (ValueError, RuntimeError, UnicodeError) as error:
        raise ModelError(f"the types of the model cannot be checked: {one_line(error)}") from error


def uses_external(model: ModelProto) -> bool:
    return any(
        tensor.data_location == TensorProto.EXTERNAL
        for tensor in tensors_of(list(model.graph.node), list(model.graph.initializer))
    )


def one_line(error: BaseException) -> str:
    """First lines of a foreign message as one sentence."""
    text = " ".join(str(error).split())
    return text if len(text) <= 400 else text[:400] + "…"
