"""Which nodes the outputs need, in an order in which every operand comes first."""

from __future__ import annotations

import onnx

from edgec.ir.errors import ModelError


def outer_names(node: onnx.NodeProto) -> list[str]:
    """Names that the node reads, those that its subgraphs take from outside included."""
    names = [n for n in node.input if n]
    stack = [a.g for a in node.attribute if a.type == onnx.AttributeProto.GRAPH]
    stack += [g for a in node.attribute if a.type == onnx.AttributeProto.GRAPHS for g in a.graphs]
    while stack:
        graph = stack.pop()
        for inner in graph.node:
            names += [n for n in inner.input if n]
            stack += [a.g for a in inner.attribute if a.type == onnx.AttributeProto.GRAPH]
        names += [o.name for o in graph.output]
    return names


def needed_nodes(graph: onnx.GraphProto, known: set[str]) -> list[onnx.NodeProto]:
    """Nodes behind the outputs, in order. ModelError for a cycle or for two nodes that make one name."""
    maker: dict[str, int] = {}
    for i, node in enumerate(graph.node):
        for name in node.output:
            if not name:
                continue
            if name in maker:
                raise ModelError(f"two nodes compute '{name}'")
            maker[name] = i
    order: list[onnx.NodeProto] = []
    done: dict[int, bool] = {}  # False: being visited
    stack: list[tuple[int, bool]] = [
        (maker[o.name], False) for o in reversed(graph.output) if o.name in maker and o.name not in known
    ]
    while stack:
        i, leaving = stack.pop()
        if leaving:
            done[i] = True
            order.append(graph.node[i])
            continue
        if i in done:
            if not done[i]:
                raise ModelError(f"the nodes are cyclic: {graph.node[i].op_type} '{graph.node[i].name}' needs itself")
            continue
        done[i] = False
        stack.append((i, True))
        for name in reversed(outer_names(graph.node[i])):
            at = maker.get(name)
            if at is None or name in known or done.get(at) is True:
                continue
            if done.get(at) is False:
                raise ModelError(f"the nodes are cyclic: {graph.node[at].op_type} '{graph.node[at].name}' needs itself")
            stack.append((at, False))
    return order
