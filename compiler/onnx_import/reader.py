"""Read an ONNX file: bytes in, a parsed, limited and checked ModelProto out, or a ModelError with one sentence."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import onnx
from google.protobuf.message import DecodeError
from onnx import AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto

from edgec.ir.errors import ModelError, UsageError
from edgec.onnx_import import limits
from edgec.onnx_import.tensors import external_file
from edgec.onnx_import.topology import free_names, live_in_order, subgraphs

OLDEST_OPSET = 7
DOMAINS = ("", "ai.onnx")  # both mean the standard operators


def read_model(path: Path) -> ModelProto:
    """Parse and check the file. External data stays where it is; its place is checked."""
    check_file(path)
    model = parse_model(path)
    check_model(model, path)
    return model


def parse_model(path: Path) -> ModelProto:
    try:
        return onnx.load_model_from_string(path.read_bytes())
    except OSError as error:
        raise UsageError(f"the model '{path}' cannot be read: {error.strerror}") from error
    except (DecodeError, ValueError) as error:
        raise ModelError(f"'{path}' is not an ONNX model: {one_line(error)}") from error


def external_files(path: Path) -> list[Path]:
    """Files beside the model that hold its weights, sorted; what is wrong with the model is told by `read_model`."""
    model = parse_model(path)
    check_size(model)
    stored = tensors_of(list(model.graph.node), list(model.graph.initializer))
    return sorted({external_file(tensor, path.parent)[0] for tensor in stored if is_external(tensor)})


def check_file(path: Path) -> None:
    """A regular file of a legal size: a pipe or a device would never end."""
    try:
        regular = path.is_file()
        size = path.stat().st_size if regular else 0
    except (OSError, ValueError) as error:
        raise UsageError(f"the model '{path}' cannot be read: {error}") from error
    if not regular:
        raise UsageError(f"the model '{path}' is not a file")
    if size > limits.FILE_BYTES:
        raise ModelError(f"the model '{path}' has {size} bytes; at most {limits.FILE_BYTES} are allowed")
    if size == 0:
        raise ModelError(f"the model '{path}' is empty")


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
    check_semantics(model)


def check_size(model: ModelProto) -> None:
    """Node count, nesting and names, before anything recursive runs."""
    graphs = [(model.graph, 1)]
    nodes = 0
    bodies = [list(f.node) for f in model.functions]
    check_spelling(name for f in model.functions for name in (f.domain, f.name, *f.input, *f.output, *f.attribute))
    check_spelling(o.domain for o in model.opset_import)
    while graphs or bodies:
        if graphs:
            graph, depth = graphs.pop()
            listed = list(graph.node)
            check_spelling(item.name for item in (*graph.input, *graph.output, *graph.initializer))
            check_spelling(item.values.name for item in graph.sparse_initializer)
            dims = [d for item in (*graph.input, *graph.output) for d in item.type.tensor_type.shape.dim]
            check_spelling(d.dim_param for d in dims)
        else:
            listed, depth = bodies.pop(), 1
        if depth > limits.NESTING:
            raise ModelError(f"graphs are nested deeper than {limits.NESTING}")
        nodes += len(listed)
        if nodes > limits.NODES:
            raise ModelError(f"the model has more than {limits.NODES} nodes")
        for node in listed:
            attributes = [name for a in node.attribute for name in (a.name, a.ref_attr_name)]
            check_spelling((node.name, node.op_type, node.domain, *node.input, *node.output, *attributes))
            graphs += [(sub, depth + 1) for sub in subgraphs(node)]


def check_spelling(names: Iterable[object]) -> None:
    """protobuf hands a string out as bytes when it is not UTF-8."""
    for name in names:
        if not isinstance(name, str):
            raise ModelError(f"the name {name!r} in the model is not UTF-8 text")
        if not name.isprintable():
            raise ModelError(f"the name {name!r} in the model has a control character")
        if len(name) > limits.NAME_LENGTH:
            raise ModelError(f"the name '{name[:80]}…' is longer than {limits.NAME_LENGTH} characters")


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
    """Version of the standard operators that the model uses. An older one than OLDEST_OPSET is OLDEST_OPSET where none
    of the model's operators has changed in between."""
    versions = [int(o.version) for o in model.opset_import if o.domain in DOMAINS]
    if not versions:
        if all(node.domain not in DOMAINS for node in model.graph.node):
            return int(onnx.defs.onnx_opset_version())
        raise ModelError("the model does not say which opset of the standard operators it uses")
    newest = int(onnx.defs.onnx_opset_version())
    version = max(versions)
    if OLDEST_OPSET <= version <= newest:
        return version
    why = ""
    if 1 <= version < OLDEST_OPSET:
        changed = [kind for kind in _kinds(model.graph) if not _is_the_same(kind, version, OLDEST_OPSET)]
        if not changed:
            return OLDEST_OPSET
        why = f", in which {changed[0]} was another operator"
    raise ModelError(f"the model uses opset {version}{why}; {OLDEST_OPSET} to {newest} are supported")


def _kinds(graph: GraphProto) -> list[str]:
    """The standard operators of a graph, those of its subgraphs included."""
    found, graphs = set(), [graph]
    while graphs:
        for node in graphs.pop().node:
            graphs += subgraphs(node)
            found |= {node.op_type} if node.domain in DOMAINS else set()
    return sorted(found)


def _is_the_same(kind: str, a: int, b: int) -> bool:
    """Whether an operator has one definition in two opsets."""
    try:
        first, second = (onnx.defs.get_schema(kind, version, "").since_version for version in (a, b))
    except onnx.defs.SchemaError:
        return False
    return bool(first == second)


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
        limits.check_stored(tensor.dims, f"tensor '{tensor.name}'")
        if is_external(tensor):
            file = external_file(tensor, folder)[0]
            files[file] = file.stat().st_size
    if sum(files.values()) > limits.EXTERNAL_BYTES:
        raise ModelError(f"external data is larger than {limits.EXTERNAL_BYTES} bytes")


def check_semantics(model: ModelProto) -> None:
    """onnx's own checker, whose rules about operators and attributes are the standard's.

    Three of its rules are stricter than any runtime: nodes must be sorted (the importer sorts them), every input and
    output must have a shape (the importer asks for the former and finds the latter), and GroupNormalization must not be
    that of opsets 18 to 20, which the standard withdrew and exporters wrote.
    """
    try:
        with simplified(model):
            run_checker(model)
    except onnx.checker.ValidationError as error:
        raise ModelError(f"the model is broken: {one_line(error)}") from error
    except (ValueError, RuntimeError, UnicodeError) as error:
        raise ModelError(f"the model is broken: {one_line(error)}") from error


def run_checker(model: ModelProto) -> None:
    try:
        onnx.checker.check_model(model, skip_opset_compatibility_check=True)
    except onnx.checker.ValidationError as error:
        if "topologically sorted" not in str(error):
            raise
        sort_nodes(model.graph)
        onnx.checker.check_model(model, skip_opset_compatibility_check=True)


@contextmanager
def simplified(model: ModelProto) -> Iterator[None]:
    """The model with scalar shapes where it has none, and empty tensors where data lies outside: those files are
    checked by `external_file`, and the checker would open them by rules of its own."""
    infos = (*model.graph.input, *model.graph.output)
    bare = [
        i.type.tensor_type for i in infos if i.type.HasField("tensor_type") and not i.type.tensor_type.HasField("shape")
    ]
    stored = tensors_of(list(model.graph.node), list(model.graph.initializer))
    outside = [(t, TensorProto.FromString(t.SerializeToString())) for t in stored if is_external(t)]
    withdrawn = [(n, NodeProto.FromString(n.SerializeToString())) for n in withdrawn_norms(model)]
    for node, _ in withdrawn:  # one that takes the same operands
        node.op_type = "InstanceNormalization"
        node.ClearField("attribute")
    for tensor in bare:
        tensor.shape.SetInParent()
    for tensor, original in outside:
        tensor.Clear()
        tensor.name, tensor.data_type, tensor.raw_data = original.name, original.data_type, b""
        tensor.dims.append(0)
    try:
        yield
    finally:
        for tensor in bare:
            tensor.ClearField("shape")
        for tensor, original in outside:
            tensor.CopyFrom(original)
        for node, given in withdrawn:
            node.CopyFrom(given)


def withdrawn_norms(model: ModelProto) -> list[NodeProto]:
    """GroupNormalization nodes of opsets 18 to 20, subgraphs included."""
    if not any(o.domain in DOMAINS and 18 <= o.version < 21 for o in model.opset_import):
        return []
    found, graphs = [], [model.graph]
    while graphs:
        for node in graphs.pop().node:
            graphs += subgraphs(node)
            if node.op_type == "GroupNormalization" and node.domain in DOMAINS:
                found.append(node)
    return found


def sort_nodes(graph: GraphProto) -> None:
    """Bring the nodes of a graph and of its subgraphs into an order that the standard allows."""
    for node in graph.node:
        for sub in subgraphs(node):
            sort_nodes(sub)
    ordered = live_in_order(graph.node, [name for node in graph.node for name in node.output])
    copies = [NodeProto.FromString(node.SerializeToString()) for node in ordered]
    del graph.node[:]
    graph.node.extend(copies)


def is_external(tensor: TensorProto) -> bool:
    return bool(tensor.data_location == TensorProto.EXTERNAL)


def one_line(error: BaseException) -> str:
    """First lines of a foreign message as one sentence."""
    text = " ".join(str(error).split())
    return text if len(text) <= 400 else text[:400] + "…"
