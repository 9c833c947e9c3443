"""An ONNX file becomes a Module: walk the live nodes in order and let the tables turn each into core operators.

A node that cannot be imported makes a `Missing` result; at the end all reasons that an output depends on are told at
once. Names of inputs and outputs stay; `op.source` says which ONNX node an op came from.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from onnx import FunctionProto, GraphProto, ModelProto, NodeProto, SparseTensorProto, TensorProto

from edgec.ir.errors import EdgecError, IRError, ModelError, UnsupportedError
from edgec.ir.graph import Graph, Module, Op, Value
from edgec.ir.origin import Origin
from edgec.onnx_import import limits
from edgec.onnx_import.functions import bound_nodes, key_of, standard_body
from edgec.onnx_import.items import Float8Bytes, Item, Missing, Narrow, reasons_of
from edgec.onnx_import.node import Importer, Node, Refusal, describe
from edgec.onnx_import.ops import TABLE
from edgec.onnx_import.ops.refused import REFUSED
from edgec.onnx_import.options import ImportOptions
from edgec.onnx_import.prepare import bind_dims, check_output, constant_input, free_inputs, input_types
from edgec.onnx_import.reader import DOMAINS, read_model, standard_opset
from edgec.onnx_import.signature import check_operands
from edgec.onnx_import.tensors import (
    ELEMENTS,
    NARROW,
    DtypeUnsupported,
    array_of,
    dense_of,
    element_name,
    narrow_of,
)
from edgec.onnx_import.topology import live_in_order

# operators that may move numbers of which the IR has no type
MOVES = ("Flatten", "Identity", "Reshape", "Squeeze", "Transpose", "Unsqueeze")
KINDS = {
    "sequence_type": "a sequence", "optional_type": "an optional", "map_type": "a map",
    "sparse_tensor_type": "a sparse tensor", "opaque_type": "something opaque",
}  # fmt: skip


def import_model(path: Path, options: ImportOptions | None = None) -> Module:
    """The model as a module with one entry. ModelError, UnsupportedError or UsageError with one sentence."""
    path = Path(path)
    return import_proto(read_model(path), path.parent, options or ImportOptions())


def import_proto(model: ModelProto, folder: Path, options: ImportOptions) -> Module:
    """The same for a model that is already read and checked."""
    module = Module()
    walk = Walk(Graph(module, options.name), folder, model)
    try:
        walk.run_model(model, options)
    except MemoryError as error:
        raise ModelError("the model needs more memory than there is") from error
    return module


class Scope:
    """Names that a graph can see: its own, and those of the graphs around it."""

    def __init__(self, parent: Scope | None, opsets: dict[str, int], depth: int = 1) -> None:
        self.parent = parent
        self.opsets = opsets
        self.depth = depth
        self.items: dict[str, Item] = {}
        self.stored: dict[str, TensorProto | SparseTensorProto] = {}

    def inner(self) -> Scope:
        return Scope(self, self.opsets, self.depth + 1)


class Walk:
    """State of one import: the graph being made, what was spent, orders of graphs that are walked again."""

    def __init__(self, graph: Graph, folder: Path, model: ModelProto) -> None:
        self.graph = graph
        self.folder = folder
        self.functions: dict[tuple[str, str, str], FunctionProto] = {
            (f.domain, f.name, f.overload): f for f in model.functions
        }
        self.opsets = {"" if o.domain in DOMAINS else o.domain: int(o.version) for o in model.opset_import}
        self.opsets[""] = standard_opset(model)
        self.nodes = 0
        self.operators = 0
        self.bytes = 0  # of arrays that were made
        self.stored = 0  # bytes of arrays that were read
        self.work = 0
        self.began = time.process_time()
        self.orders: dict[int, tuple[GraphProto, list[NodeProto]]] = {}

    # -- budgets ----------------------------------------------------------------------------------------------

    def spend(self, nbytes: int) -> None:
        """Account for an array before it is made."""
        self.bytes += nbytes
        if self.bytes > limits.MADE_BYTES:
            raise ModelError(f"the import makes too many constants: {limits.MADE_BYTES} bytes are allowed")

    def affords(self, nbytes: int, work: int) -> bool:
        """May an op be folded? Then it is accounted for."""
        if self.bytes + nbytes > limits.MADE_BYTES or self.work + work > limits.FOLDING_WORK:
            return False
        self.bytes, self.work = self.bytes + nbytes, self.work + work
        return True

    def count_node(self) -> int:
        self.nodes += 1
        if self.nodes > limits.NODES:
            raise ModelError(f"the model unrolls to more than {limits.NODES} nodes")
        if time.process_time() - self.began > limits.CPU_SECONDS:
            raise ModelError(f"the import takes more than {limits.CPU_SECONDS} seconds")
        return self.nodes

    def count_operator(self) -> None:
        self.operators += 1
        if self.operators > limits.OPERATORS:
            raise ModelError(f"the model becomes more than {limits.OPERATORS} operators")

    # -- the model --------------------------------------------------------------------------------------------

    def run_model(self, model: ModelProto, options: ImportOptions) -> None:
        scope = Scope(None, self.opsets)
        try:
            bound = self.add_inputs(model.graph, scope, options)
        except DtypeUnsupported as error:
            raise UnsupportedError([f"an input of the model {error}"]) from error
        results = self.run_graph(model.graph, scope)
        missing = [item for item in results if isinstance(item, Missing)]
        if missing:
            raise UnsupportedError(reasons_of(missing))
        outputs = zip(model.graph.output, results, strict=True)
        small = [(info.name, x) for info, x in outputs if isinstance(x, Narrow | Float8Bytes)]
        if small:
            raise UnsupportedError([f"output '{name}' is of {x.element}; no output may be" for name, x in small])
        odd = [i.name for i, item in zip(model.graph.output, results, strict=True) if not isinstance(item, Value)]
        if odd:
            raise UnsupportedError([f"output '{name}' is a sequence or an optional, not a tensor" for name in odd])
        for info, item in zip(model.graph.output, results, strict=True):
            assert isinstance(item, Value)
            if item.type.encodings:
                item = self.graph.constant(self.graph.array(item))
            check_output(info, item.type, bound)
            if item.op is not None and item not in {v for _, v in self.graph.outputs}:
                item.name = info.name
            self.graph.outputs.append((info.name, item))
        prune(self.graph)

    def add_inputs(self, graph: GraphProto, scope: Scope, options: ImportOptions) -> dict[str, int]:
        """Graph inputs and constant inputs into the scope; returns the bound symbolic dimensions."""
        bound = bind_dims(graph, options)
        open_inputs = []
        for info in graph.input:
            if info.name in options.consts:
                array = constant_input(info, options.consts[info.name])
                scope.items[info.name] = self.graph.constant(array, info.name)
        for info in free_inputs(graph):
            kind = info.type.WhichOneof("value")
            if info.name in options.consts:
                continue
            if kind != "tensor_type":
                reason = f"input '{info.name}' is not a tensor but {KINDS.get(kind, 'nothing')}; tensors are supported"
                scope.items[info.name] = Missing(0, reason)
            elif info.type.tensor_type.elem_type not in ELEMENTS:
                unknown = DtypeUnsupported(info.type.tensor_type.elem_type)
                scope.items[info.name] = Missing(0, f"input '{info.name}' {unknown}")
            else:
                open_inputs.append(info)
        for name, type in input_types(open_inputs, options, bound).items():
            scope.items[name] = self.graph.add_input(name, type)
        return bound

    # -- graphs -----------------------------------------------------------------------------------------------

    def run_graph(self, graph: GraphProto, scope: Scope) -> list[Item]:
        """Import the live nodes of a graph into a scope that holds its inputs; returns its outputs."""
        if scope.depth > limits.NESTING:
            raise ModelError(f"graphs and functions are nested deeper than {limits.NESTING}")
        scope.stored.update({t.name: t for t in graph.initializer if t.name not in scope.items})
        scope.stored.update({t.values.name: t for t in graph.sparse_initializer if t.values.name not in scope.items})
        # a loop's body is walked once an iteration; the graph is kept so that its id stays taken
        if id(graph) not in self.orders:
            self.orders[id(graph)] = (graph, live_in_order(graph.node, [o.name for o in graph.output]))
        for proto in self.orders[id(graph)][1]:
            self.run_node(proto, scope)
        return [self.lookup(output.name, scope) for output in graph.output]

    def lookup(self, name: str, scope: Scope) -> Item:
        """What a name stands for; stored tensors become constants when they are first read."""
        if not name:
            return None
        at: Scope | None = scope
        while at is not None:
            if name in at.items:
                return at.items[name]
            if name in at.stored:
                at.items[name] = self.stored_item(name, at.stored[name])
                return at.items[name]
            at = at.parent
        raise ModelError(f"the tensor '{name}' is read but nothing makes it")

    def stored_item(self, name: str, tensor: TensorProto | SparseTensorProto) -> Item:
        try:
            if isinstance(tensor, SparseTensorProto):
                return self.graph.constant(dense_of(tensor, self.spend), name)
            narrow = tensor.data_type in NARROW
            array = narrow_of(tensor, self.folder) if narrow else array_of(tensor, self.folder)
        except DtypeUnsupported as error:
            return Missing(0, f"tensor '{name}' {error}")
        self.stored += array.nbytes
        if self.stored > limits.STORED_BYTES:
            raise ModelError(f"the model's weights are too large: {limits.STORED_BYTES} bytes are allowed")
        if narrow:
            return Narrow(element_name(tensor.data_type), array)
        return self.graph.constant(array, name)

    # -- nodes ------------------------------------------------------------------------------------------------

    def run_node(self, proto: NodeProto, scope: Scope) -> None:
        """Import one node and bind its outputs."""
        order = self.count_node()
        inputs = [self.lookup(name, scope) for name in proto.input]
        while inputs and inputs[-1] is None:
            inputs.pop()
        needs = tuple(item for item in inputs if isinstance(item, Missing))
        results: Sequence[Item]
        try:
            results = self.import_node(proto, inputs, scope, bool(needs))
        except (Refusal, DtypeUnsupported) as error:
            results = [Missing(order, f"{describe(proto)} {error}", needs)] * len(proto.output)
        if needs and not results:
            results = [Missing(order, "", needs)] * len(proto.output)
        if len(results) < sum(bool(name) for name in proto.output):
            raise ModelError(f"{describe(proto)} has {len(proto.output)} outputs; {len(results)} are possible")
        for name, item in zip(proto.output, results, strict=False):
            if name:
                scope.items[name] = item
                if isinstance(item, Value) and item.op is not None and not item.name and scope.depth == 1:
                    item.name, item.origin = name, Origin(name)

    def import_node(self, proto: NodeProto, inputs: list[Item], scope: Scope, missing: bool) -> Sequence[Item]:
        """Results of one node; none when an operand is missing and the operator itself would be fine."""
        key = key_of(proto)
        function = self.functions.get(key)
        opset = scope.opsets.get(key[0], 1)
        name = f"{key[0]}.{key[1]}" if key[0] else key[1]
        entry = TABLE.get(name)
        if function is not None:
            return [] if missing else self.run_function(function, proto, inputs, scope)
        refused = name in REFUSED
        if missing and entry is not None and not refused:
            return []
        if not missing and not refused:
            check_operands(proto, describe(proto), inputs, key[0], opset)
        try:
            if entry is not None:
                with np.errstate(all="ignore"):
                    if name in MOVES and isinstance(inputs[0], Narrow | Float8Bytes):
                        return [self.move_narrow(entry, proto, inputs[0], inputs[1:], scope, opset)]
                    return entry(Node(proto, inputs, self, scope, opset))
            body = None if missing else standard_body(proto, inputs, opset)
            if body is not None:
                return self.run_function(body, proto, inputs, scope)
        except IRError as error:
            raise ModelError(f"{describe(proto)} is not legal: {error}") from error
        except EdgecError:
            raise
        # folding evaluates what the file says: an index out of range, a shape that does not fit
        except (ValueError, IndexError, OverflowError, ZeroDivisionError, TypeError) as error:
            raise ModelError(f"{describe(proto)} cannot be imported: {error}") from error
        domain = f" of {key[0]}" if key[0] else ""
        raise Refusal(f"is not a supported operator{domain}; SUPPORTED_OPS.md lists those that are")

    def move_narrow(
        self, entry: Importer, proto: NodeProto, first: Narrow | Float8Bytes, others: list[Item], scope: Scope,
        opset: int,
    ) -> Item:  # fmt: skip
        """Moves numbers that the IR has no type for as what holds them."""
        held = first.bytes_ if isinstance(first, Float8Bytes) else self.graph.constant(first.array)
        node = Node(proto, [held, *others], self, scope, opset)
        (made,) = entry(node)
        assert isinstance(made, Value)
        if isinstance(first, Float8Bytes):
            return replace(first, bytes_=made)
        return Narrow(first.element, node.array(made))

    def run_function(
        self, function: FunctionProto, proto: NodeProto, inputs: list[Item], scope: Scope
    ) -> Sequence[Item]:
        """Import a function's body in a scope of its own."""
        opsets = {"" if o.domain in DOMAINS else o.domain: int(o.version) for o in function.opset_import}
        inner = Scope(None, {**scope.opsets, **opsets}, scope.depth + 1)
        if inner.depth > limits.NESTING:
            raise ModelError(f"graphs and functions are nested deeper than {limits.NESTING}")
        for i, name in enumerate(function.input):
            inner.items[name] = inputs[i] if i < len(inputs) else None
        wanted = [name for name, out in zip(function.output, proto.output, strict=False) if out]
        for node in live_in_order(bound_nodes(function, proto), wanted):
            self.run_node(node, inner)
        outer = zip(function.output, proto.output, strict=False)
        return [self.lookup(name, inner) if out else None for name, out in outer]

    def inputs_behind(self, value: Value) -> list[str]:
        """Names of the graph inputs that a value depends on, in order."""
        found: set[str] = set()
        seen: set[int] = set()
        stack = [value]
        while stack:
            at = stack.pop()
            if id(at) in seen:
                continue
            seen.add(id(at))
            if at.op is not None:
                stack += [v for v in at.op.inputs if v is not None]
            elif at.const is None:
                found.add(at.name)
        return [v.name for v in self.graph.inputs if v.name in found]


def prune(graph: Graph) -> None:
    """Drop ops that nothing reads and constants that no op holds."""
    live: set[int] = set()
    stack: list[Op] = [v.op for _, v in graph.outputs if v.op is not None]
    while stack:
        op = stack.pop()
        if id(op) not in live:
            live.add(id(op))
            stack += [v.op for v in op.inputs if v is not None and v.op is not None]
    graph.ops = [op for op in graph.ops if id(op) in live]
    read = [v for op in graph.ops for v in op.inputs if v is not None]
    used = {v.const for _, v in graph.outputs} | {v.const for v in read}
    used |= {key for v in read for e in v.type.encodings for key in e.constants}
    constants = graph.module.constants
    for key in [key for key in constants if key not in used]:
        del constants[key]
