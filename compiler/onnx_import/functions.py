"""Functions: a node whose meaning is a graph, the model's own function or the body that ONNX gives an operator."""

from __future__ import annotations

import onnx
from onnx import AttributeProto, FunctionProto, NodeProto, TypeProto

from edgec.ir.graph import Value
from edgec.onnx_import.items import Item, Maybe, TensorList
from edgec.onnx_import.reader import DOMAINS
from edgec.onnx_import.tensors import CODES

FunctionKey = tuple[str, str, str]


def key_of(node: NodeProto) -> FunctionKey:
    return ("" if node.domain in DOMAINS else str(node.domain), str(node.op_type), str(node.overload))


def type_proto(item: Item) -> TypeProto:
    """The ONNX type of an item, for bodies that depend on types."""
    proto = TypeProto()
    if isinstance(item, Maybe):
        item = item.item
    if isinstance(item, TensorList):
        element = item.items[0] if item.items else None
        proto.sequence_type.elem_type.CopyFrom(type_proto(element))
    elif isinstance(item, Value):
        proto.tensor_type.elem_type = CODES[item.type.dtype]
        proto.tensor_type.shape.SetInParent()
        for dim in item.type.dims:
            proto.tensor_type.shape.dim.add().dim_value = dim
    return proto


def standard_body(node: NodeProto, inputs: list[Item], opset: int) -> FunctionProto | None:
    """The body that the ONNX standard gives an operator, or None when it has none."""
    domain = "" if node.domain in DOMAINS else node.domain
    try:
        schema = onnx.defs.get_schema(node.op_type, opset, domain)
    except onnx.defs.SchemaError:
        return None
    body = b""
    if schema.has_function:
        body = schema.get_function_with_opset_version(max(v for v in schema.function_opset_versions if v <= opset))
    elif schema.has_context_dependent_function:
        versions = [v for v in schema.context_dependent_function_opset_versions if v <= opset]
        types = [type_proto(item).SerializeToString() for item in inputs]
        body = schema.get_context_dependent_function_with_opset_version(max(versions), node.SerializeToString(), types)
    if not body:
        return None
    function = FunctionProto()
    function.ParseFromString(body)
    for name, attribute in schema.attributes.items():
        if attribute.default_value.name and name in function.attribute:
            function.attribute_proto.add().CopyFrom(attribute.default_value)
    return function


def bound_nodes(function: FunctionProto, node: NodeProto) -> list[NodeProto]:
    """The function's nodes with the caller's attributes (or their defaults) in place of references."""
    values = {a.name: a for a in function.attribute_proto} | {a.name: a for a in node.attribute}
    found = []
    for inner in function.node:
        copy = NodeProto()
        copy.CopyFrom(inner)
        bind_attributes(copy, values)
        found.append(copy)
    return found


def bind_attributes(node: NodeProto, values: dict[str, AttributeProto]) -> None:
    kept = []
    for attribute in node.attribute:
        if attribute.ref_attr_name:
            if attribute.ref_attr_name in values:
                bound = AttributeProto()
                bound.CopyFrom(values[attribute.ref_attr_name])
                bound.name = attribute.name
                kept.append(bound)
            continue
        for graph in [attribute.g] if attribute.type == AttributeProto.GRAPH else list(attribute.graphs):
            for inner in graph.node:
                bind_attributes(inner, values)
        kept.append(attribute)
    copies = [AttributeProto.FromString(a.SerializeToString()) for a in kept]
    del node.attribute[:]
    node.attribute.extend(copies)
