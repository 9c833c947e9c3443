"""If, Loop and Scan: folded, selected or unrolled, so that no subgraph reaches the IR."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from onnx import GraphProto

from edgec.ir.graph import Value
from edgec.onnx_import import limits
from edgec.onnx_import.items import Item, Missing
from edgec.onnx_import.node import Node, Table, same_type
from edgec.onnx_import.tensors import dtype_of


def run_body(node: Node, body: GraphProto, inputs: Sequence[Item]) -> list[Item]:
    """Outputs of a subgraph for its inputs."""
    if len(body.input) != len(inputs):
        node.broken(f"gives {len(inputs)} inputs to a subgraph that has {len(body.input)}")
    scope = node.scope.inner()
    scope.items.update({info.name: item for info, item in zip(body.input, inputs, strict=True)})
    return node.walk.run_graph(body, scope)


def if_(node: Node) -> list[Item]:
    """A known condition takes one branch; an unknown one computes both and selects, which is legal since nothing
    that a branch does can be seen from outside."""
    condition = node.value(0)
    then, other = node.graph("then_branch"), node.graph("else_branch")
    if condition.type.dtype != "bool" or condition.type.size != 1:
        node.broken(f"has a condition of the type {condition.type}; one bool is needed")
    if condition.const is not None:
        return run_body(node, then if bool(node.array(condition).reshape(-1)[0]) else other, [])
    condition = node.reshape(condition, ())
    pairs = list(zip(run_body(node, then, []), run_body(node, other, []), strict=False))
    if len(pairs) != len(node.proto.output):
        node.broken(f"has branches that do not make its {len(node.proto.output)} outputs")
    return [select(node, condition, a, b) for a, b in pairs]


def select(node: Node, condition: Value, a: Item, b: Item) -> Item:
    for item in (a, b):
        if isinstance(item, Missing):
            return item
    if not isinstance(a, Value) or not isinstance(b, Value) or not same_type(a.type, b.type):
        named = node.proto.input[0]
        hint = "".join(f" (bind it with --const {n}=...)" for n in node.walk.inputs_behind(condition)[:1])
        node.refuse(f"needs '{named}' to be a constant, since its branches differ in type{hint}")
    return node.op("where", condition, a, b)


def stacked(node: Node, items: Sequence[Item], axis: int) -> Item:
    """Tensors of one shape along a new axis."""
    values: list[Value] = []
    for item in items:
        if isinstance(item, Missing):
            return item
        if not isinstance(item, Value):
            node.refuse("stacks sequences; tensors are supported")
        shape = list(node.shape(item))
        at = node.axis(axis, len(shape) + 1)
        values.append(node.reshape(item, [*shape[:at], 1, *shape[at:]]))
    return node.concat(values, node.axis(axis, len(node.shape(values[0]))))


def loop(node: Node) -> list[Item]:
    """Unrolled: the trip count or the conditions must be known."""
    body = node.graph("body")
    trips = node.const_int(0) if node.has(0) else None
    alive = bool(node.const(1).reshape(-1)[0]) if node.has(1) else True
    carried: list[Item] = [node.item(i) for i in range(2, len(node.inputs))]
    count = len(body.input) - 2
    carried += [None] * (count - len(carried))
    scanned: list[list[Item]] = [[] for _ in range(len(body.output) - 1 - count)]
    i = 0
    while alive and (trips is None or i < trips):
        if i >= limits.TRIPS:
            node.refuse(f"runs more than {limits.TRIPS} times, the most that is supported")
        node.walk.count_node()
        inputs: list[Item] = [node.constant(np.asarray(i, np.int64)), node.constant(np.asarray(True)), *carried]
        results = run_body(node, body, inputs)
        condition = results[0]
        if isinstance(condition, Missing):
            return [condition] * len(node.proto.output)
        if not isinstance(condition, Value):
            node.broken("has a condition that is not a tensor")
        alive = bool(node.array(condition, body.output[0].name).reshape(-1)[0])
        carried = results[1 : 1 + count]
        for column, item in zip(scanned, results[1 + count :], strict=True):
            column.append(item)
        i += 1
    columns = [stacked(node, column, 0) if column else empty_scan(node, body, k) for k, column in enumerate(scanned)]
    return [*carried, *columns]


def empty_scan(node: Node, body: GraphProto, k: int) -> Item:
    """What a loop that never runs has scanned: nothing of the declared type."""
    info = body.output[len(body.input) - 1 + k]
    tensor = info.type.tensor_type
    dims = [d.dim_value for d in tensor.shape.dim if d.HasField("dim_value")]
    if not tensor.HasField("shape") or len(dims) != len(tensor.shape.dim):
        node.refuse("never runs and collects tensors of unknown shapes; static ones, declared, are supported")
    return node.full((0, *dims), 0, dtype_of(tensor.elem_type))


def scan(node: Node) -> list[Item]:
    """Unrolled over the scan axis. Before opset 9 there was a batch axis and an operand of lengths in front."""
    if node.opset < 9:
        return batched_scan(node)
    body = node.graph("body")
    count = scanned_inputs(node)
    states: list[Item] = [node.item(i) for i in range(len(node.inputs) - count)]
    xs = [node.value(i) for i in range(len(node.inputs) - count, len(node.inputs))]
    outputs = len(body.output) - len(states)
    return scan_once(
        node,
        body,
        states,
        xs,
        node.integers("scan_input_axes") or (0,) * count,
        node.integers("scan_input_directions") or (0,) * count,
        node.integers("scan_output_axes") or (0,) * outputs,
        node.integers("scan_output_directions") or (0,) * outputs,
    )


def scanned_inputs(node: Node) -> int:
    count = node.integer("num_scan_inputs", 1)
    if not 1 <= count <= len(node.inputs):
        node.broken(f"has num_scan_inputs={count} and {len(node.inputs)} operands")
    return count


def scan_once(
    node: Node,
    body: GraphProto,
    states: list[Item],
    xs: list[Value],
    in_axes: Sequence[int],
    in_directions: Sequence[int],
    out_axes: Sequence[int],
    out_directions: Sequence[int],
) -> list[Item]:
    if not xs or not len(in_axes) == len(in_directions) == len(xs) or len(out_axes) != len(out_directions):
        node.broken("has axes or directions that do not fit its operands")
    axes = [node.axis(a, len(node.shape(x))) for a, x in zip(in_axes, xs, strict=True)]
    lengths = {node.shape(x)[a] for a, x in zip(axes, xs, strict=True)}
    if len(lengths) != 1:
        node.broken(f"scans over the different lengths {sorted(lengths)}")
    n = lengths.pop()
    if not 0 < n <= limits.TRIPS:
        node.refuse(f"runs {n} times; 1 to {limits.TRIPS} are supported")
    scanned: list[list[Item]] = [[] for _ in out_axes]
    for i in range(n):
        node.walk.count_node()
        slices = []
        for x, axis, direction in zip(xs, axes, in_directions, strict=True):
            at = n - 1 - i if direction else i
            shape = node.shape(x)
            slices.append(node.reshape(node.slice(x, axis, at, at + 1), shape[:axis] + shape[axis + 1 :]))
        results = run_body(node, body, [*states, *slices])
        for column, item in zip(scanned, results[len(states) :], strict=True):
            column.append(item)
        states = results[: len(states)]
    columns = [
        stacked(node, column[::-1] if direction else column, axis)
        for column, axis, direction in zip(scanned, out_axes, out_directions, strict=True)
    ]
    return [*states, *columns]


def batched_scan(node: Node) -> list[Item]:
    if node.has(0):
        node.refuse("has sequence lengths; scans of the whole length are supported")
    body = node.graph("body")
    count = scanned_inputs(node)
    first = [node.value(i) for i in range(1, len(node.inputs) - count)]
    xs = [node.value(i) for i in range(len(node.inputs) - count, len(node.inputs))]
    directions = node.integers("directions") or (0,) * count
    outputs = len(body.output) - len(first)
    batches = node.shape(xs[0])[0]
    rows: list[list[Item]] = []
    for b in range(batches):

        def entry(x: Value, b: int = b) -> Value:
            return node.reshape(node.slice(x, 0, b, b + 1), node.shape(x)[1:])

        states: list[Item] = [entry(x) for x in first]
        zeros = (0,) * outputs
        rows.append(scan_once(node, body, states, [entry(x) for x in xs], (0,) * count, directions, zeros, zeros))
    return [stacked(node, list(column), 0) for column in zip(*rows, strict=True)]


CONTROL: Table = {"If": if_, "Loop": loop, "Scan": scan}
