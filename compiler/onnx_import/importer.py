"""ONNX file -> Module: check, bind, walk the nodes that the outputs need, decompose each by its table row."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import onnx

from edgec.ir.build import Builder
from edgec.ir.errors import IRError, ModelError, UnsupportedError, UsageError
from edgec.ir.graph import Graph, Module, Value
from edgec.ir.types import Type
from edgec.onnx_import import limits
from edgec.onnx_import.node import Node, Refused
from edgec.onnx_import.ops import TABLE
from edgec.onnx_import.options import ImportOptions
from edgec.onnx_import.order import needed_nodes
from edgec.onnx_import.reader import element_type, opset_of, read_model, tensor_array


def import_model(path: Path, options: ImportOptions | None = None) -> Module:
    """Module with the entry `main`. ModelError for a broken file, UsageError for a binding that does not fit or is
    missing, UnsupportedError with every reason at once."""
    options = options or ImportOptions()
    model = read_model(path)
    opset = opset_of(model)
    if model.functions:
        try:
            model = onnx.inliner.inline_local_functions(model)
        except (ValueError, RuntimeError, onnx.checker.ValidationError) as error:
            raise ModelError(f"{path}: its functions cannot be inlined: {str(error).splitlines()[0]}") from None
    module = Module()
    graph = Graph(module)
    walk = Walk(graph, opset, path.parent)
    walk.initializers(model.graph)
    _bind_inputs(model.graph, walk, options)
    walk.nodes(model.graph)
    if walk.reasons:
        raise UnsupportedError(walk.reasons)
    for output in model.graph.output:
        if output.name not in walk.values:
            raise ModelError(f"{path}: nothing computes the output '{output.name}'")
        graph.outputs.append((output.name, walk.values[output.name]))
    if len({name for name, _ in graph.outputs}) != len(graph.outputs) or not graph.outputs:
        raise ModelError(f"{path}: the model has no outputs, or two of one name")
    return module


def _bind_inputs(proto: onnx.GraphProto, walk: Walk, options: ImportOptions) -> None:
    names = [i.name for i in proto.input if i.name not in walk.values]
    for kind, given in (("--shape", options.shapes), ("--const", options.consts)):
        for name in given:
            if name not in names:
                raise UsageError(f"{kind} {name}: the model has no such input; it has {', '.join(names)}")
    if len(set(names)) != len(names):
        raise ModelError("two inputs of the model have one name")
    bound = {name: options.shapes[name] for name in options.shapes}
    for value in proto.input:
        if value.name in walk.values:
            continue
        if not value.type.HasField("tensor_type"):
            raise UnsupportedError([f"input '{value.name}' is no tensor"])
        tensor = value.type.tensor_type
        dtype = element_type(tensor.elem_type, f"input '{value.name}'")
        if value.name in options.consts:
            array = np.asarray(options.consts[value.name])
            declared = [d.dim_value for d in tensor.shape.dim]
            if all(declared) and array.size == math.prod(declared):
                array = array.reshape(declared)
            walk.values[value.name] = walk.graph.constant(array.astype(Type(dtype, ()).numpy))
            continue
        shape = _bound_shape(value, bound.get(value.name))
        walk.values[value.name] = walk.graph.add_input(value.name, Type(dtype, shape))


def _bound_shape(value: onnx.ValueInfoProto, given: tuple[int, ...] | None) -> tuple[int, ...]:
    tensor = value.type.tensor_type
    if not tensor.HasField("shape") and given is None:
        raise UsageError(
            f"input '{value.name}' has no shape in the model: give one, such as --shape {value.name}=1x3x8"
        )
    dims = list(tensor.shape.dim)
    if given is not None and tensor.HasField("shape") and len(given) != len(dims):
        raise UsageError(f"--shape {value.name} has {len(given)} dimensions, and the input has {len(dims)}")
    shape: list[int] = []
    for i in range(len(given) if given is not None else len(dims)):
        declared = dims[i].dim_value if i < len(dims) and dims[i].HasField("dim_value") else None
        if given is not None:
            if declared is not None and declared > 0 and declared != given[i]:
                raise UsageError(f"--shape {value.name}: dimension {i} is {declared} in the model, not {given[i]}")
            shape.append(given[i])
        elif declared is not None and declared > 0:
            shape.append(declared)
        elif declared == 0 and dims[i].HasField("dim_value"):
            shape.append(0)
        else:
            if declared is not None:
                raise ModelError(f"input '{value.name}' has the negative dimension {declared}")
            example = "x".join(str(d.dim_value) if d.HasField("dim_value") else "1" for d in dims)
            raise UsageError(
                f"dimension {i} of input '{value.name}' is symbolic ({dims[i].dim_param or 'unnamed'}): "
                f"bind it, such as --shape {value.name}={example}"
            )
    if len(shape) > limits.MAX_RANK or math.prod(shape) > limits.MAX_ELEMENTS or min(shape, default=1) < 0:
        raise ModelError(f"input '{value.name}' has shape {shape}, which is beyond the limits")
    return tuple(shape)


class Walk:
    """Values by ONNX name while nodes are imported; reasons for what is refused are collected."""

    def __init__(self, graph: Graph, opset: int, folder: Path, depth: int = 0) -> None:
        self.graph = graph
        self.opset = opset
        self.folder = folder
        self.depth = depth
        self.values: dict[str, Value] = {}
        self.reasons: list[str] = []
        self._lost: set[str] = set()  # results of refused nodes: what hangs on them is not reported again

    def child(self) -> Walk:
        """A walk of a subgraph: sees the outer values, keeps its own."""
        if self.depth >= limits.MAX_NESTING:
            raise ModelError(f"subgraphs nest deeper than {limits.MAX_NESTING}")
        inner = Walk(self.graph, self.opset, self.folder, self.depth + 1)
        inner.values = dict(self.values)
        inner.reasons = self.reasons
        inner._lost = self._lost
        return inner

    def initializers(self, proto: onnx.GraphProto) -> None:
        for tensor in proto.initializer:
            self.values[tensor.name] = self.graph.constant(tensor_array(tensor, self.folder))
        if proto.sparse_initializer:
            self.reasons.append("sparse initializers")

    def nodes(self, proto: onnx.GraphProto) -> None:
        if len(proto.node) > limits.MAX_NODES:
            raise ModelError(f"the model has {len(proto.node)} nodes; at most {limits.MAX_NODES} are read")
        for node in needed_nodes(proto, set(self.values)):
            self.node(node)

    def node(self, proto: onnx.NodeProto) -> None:
        label = f"{proto.op_type} '{proto.name or (proto.output[0] if proto.output else '')}'"
        missing = [n for n in proto.input if n and n not in self.values]
        if missing:
            if not set(missing) & self._lost:
                raise ModelError(f"{label} reads '{missing[0]}', which nothing computes")
            self._lost.update(proto.output)
            return
        if len(self.graph.ops) > limits.MAX_NODES:
            raise ModelError(f"the model has more than {limits.MAX_NODES} operations after unrolling")
        inputs = [self.values[n] if n else None for n in proto.input]
        builder = Builder(self.graph, source=label)
        node = Node(proto, inputs, builder, self.opset, self.folder, len(proto.output))
        try:
            if proto.domain not in ("", "ai.onnx"):
                raise Refused(f"domain {proto.domain} is unknown")
            if proto.op_type in CONTROL:
                results = CONTROL[proto.op_type](self, node)
            elif proto.op_type in TABLE:
                results = TABLE[proto.op_type](node)
            else:
                raise Refused("the operator is not supported")
        except Refused as reason:
            self.reasons.append(f"{label}: {reason}")
            self._lost.update(proto.output)
            return
        except IRError as error:
            raise ModelError(f"{label} is not legal: {error}") from None
        for name, value in zip(proto.output, results, strict=False):
            if name:
                if value.type.size > limits.MAX_ELEMENTS:
                    raise ModelError(f"{label} makes {value.type}, which is beyond the limits")
                self.values[name] = value
        self._lost.update(n for n in proto.output[len(results) :] if n)


def _if(walk: Walk, node: Node) -> list[Value]:
    condition = node.value(0)
    if condition.const is None:
        raise Refused("its condition is known at run time only")
    chosen = node.attr("then_branch" if bool(node.array(0, "condition").ravel()[0]) else "else_branch")
    return _subgraph(walk, chosen, [])


def _subgraph(walk: Walk, proto: onnx.GraphProto, inputs: list[Value]) -> list[Value]:
    inner = walk.child()
    inner.initializers(proto)
    for given, value in zip(proto.input, inputs, strict=True):
        inner.values[given.name] = value
    inner.nodes(proto)
    lost = [o.name for o in proto.output if o.name not in inner.values]
    if lost:
        if not walk.reasons:
            raise ModelError(f"a subgraph does not compute its output '{lost[0]}'")
        raise Refused("its body holds unsupported operators")
    return [inner.values[o.name] for o in proto.output]


def _loop(walk: Walk, node: Node) -> list[Value]:
    body = node.attr("body")
    trips = int(node.array(0, "trip count").ravel()[0]) if node.has(0) else limits.MAX_UNROLL + 1
    go = bool(node.array(1, "condition").ravel()[0]) if node.has(1) else True
    carried = [node.value(i) for i in range(2, len(node.inputs))]
    scans: list[list[Value]] = [[] for _ in range(len(body.output) - 1 - len(carried))]
    i = 0
    while go and i < trips:
        if i >= limits.MAX_UNROLL:
            raise Refused(f"it runs more than {limits.MAX_UNROLL} times")
        again = node.const(True, "bool")
        results = _subgraph(walk, body, [node.const(i, "i64"), again, *carried])
        if results[0].const is None:
            raise Refused("its condition is known at run time only")
        go = bool(node.builder.graph.array(results[0]).ravel()[0])
        carried = results[1 : 1 + len(carried)]
        for scan, value in zip(scans, results[1 + len(carried) :], strict=True):
            scan.append(node.reshape(value, (1, *value.type.dims)))
        i += 1
    if scans and not scans[0]:
        raise Refused("it never runs, so its stacked results have no shape")
    return carried + [s[0] if len(s) == 1 else node.op("concat", *s, axis=0) for s in scans]


CONTROL = {"If": _if, "Loop": _loop}
