"""Order and liveness of the nodes of a graph: a node after its inputs, dead nodes gone, a cycle refused."""

from __future__ import annotations

from collections.abc import Iterable

from onnx import AttributeProto, GraphProto, NodeProto

from edgec.ir.errors import ModelError


def subgraphs(node: NodeProto) -> list[GraphProto]:
    """Graphs in the attributes of a node."""
    found: list[GraphProto] = []
    for attribute in node.attribute:
        if attribute.type == AttributeProto.GRAPH:
            found.append(attribute.g)
        elif attribute.type == AttributeProto.GRAPHS:
            found.extend(attribute.graphs)
    return found


def free_names(graph: GraphProto) -> set[str]:
    """Names that a subgraph reads from the graphs around it."""
    own = {v.name for v in graph.input} | {t.name for t in graph.initializer}
    own |= {t.values.name for t in graph.sparse_initializer}
    read: set[str] = {v.name for v in graph.output}
    for node in graph.node:
        own.update(node.output)
        read |= needed_names(node)
    return read - own - {""}


def needed_names(node: NodeProto) -> set[str]:
    """Names that a node reads, those of its subgraphs included."""
    names = {name for name in node.input if name}
    for graph in subgraphs(node):
        names |= free_names(graph)
    return names


def live_in_order(nodes: Iterable[NodeProto], outputs: Iterable[str]) -> list[NodeProto]:
    """The nodes that `outputs` depend on, each after those it reads; in the file's order where that is legal."""
    listed = list(nodes)
    maker: dict[str, int] = {}
    for i, node in enumerate(listed):
        for name in node.output:
            if name and maker.setdefault(name, i) != i:
                raise ModelError(f"the tensor '{name}' is made by two nodes")
    needs = [[maker[name] for name in needed_names(node) if name in maker] for node in listed]
    live = [False] * len(listed)
    stack = [maker[name] for name in outputs if name in maker]
    while stack:
        i = stack.pop()
        if not live[i]:
            live[i] = True
            stack.extend(needs[i])
    order: list[NodeProto] = []
    done, open_nodes = [False] * len(listed), [False] * len(listed)
    for root in range(len(listed)):
        stack = [root] if live[root] and not done[root] else []
        while stack:
            i = stack[-1]
            waiting = [] if open_nodes[i] else sorted((j for j in needs[i] if not done[j]), reverse=True)
            open_nodes[i] = True
            for j in waiting:
                if open_nodes[j]:
                    node = listed[j]
                    name = node.name or node.output[0]
                    raise ModelError(f"the nodes are cyclic: {node.op_type} '{name}' needs itself")
            if waiting:
                stack.extend(waiting)
                continue
            stack.pop()
            if not done[i]:
                done[i] = True
                order.append(listed[i])
    return order
