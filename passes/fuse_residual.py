"""Adds a tensor of the result's shape inside the convolution that makes the other operand.

%1 = conv %x, #w, #b            %2 = conv %x, #w, #b, %r
%2 = add %1, %r          ->

`images`: only where both are computed and the convolution, of channels-last images, is no depthwise one: what has a
form on bytes (ir/ops/integer.py).
"""

from __future__ import annotations

from edgec.ir.build import Builder
from edgec.ir.graph import Graph, Op, Value
from edgec.ir.residual import residual_of


def fuse_residual(graph: Graph, *, images: int = 0) -> bool:
    changed = False
    users = graph.users()
    leaving = graph.output_values()
    position = {id(op): i for i, op in enumerate(graph.ops)}
    for op in list(graph.ops):
        if op.kind != "add" or op.arg(0).type != op.arg(1).type or op.arg(0) is op.arg(1):
            continue
        best: tuple[int, Value, Value] | None = None
        for own, other in ((op.arg(0), op.arg(1)), (op.arg(1), op.arg(0))):
            producer = own.op
            if producer is None or producer.kind != "conv" or producer.attrs["act"] or own in leaving:
                continue
            if images and (other.const is not None or not _dense(producer)):
                continue
            if len(users[own]) != 1 or residual_of(producer) is not None:
                continue
            at = position[id(producer)]
            if best is None or at > best[0]:  # the later one: the other operand is there already
                best = (at, own, other)
        if best is None:
            continue
        _, own, other = best
        producer = own.op
        assert producer is not None
        inputs = [*producer.inputs, None, None][:3]
        attrs = {**producer.attrs, "act": op.attrs["act"]}
        made = Builder(graph, before=op, source=producer.source).op("conv", *inputs, other, **attrs)
        new: Op | None = made.op
        assert new is not None
        position[id(new)] = position[id(op)]
        users[made] = users.get(op.result, [])
        for v in new.inputs:
            if v is not None:
                users.setdefault(v, []).append(new)
        graph.replace(op.result, made)
        graph.remove([op, producer])
        if op.result in leaving:
            leaving.add(made)
        for user in users[made]:
            user.inputs = [made if v is op.result else v for v in user.inputs]
        changed = True
    return changed


def _dense(op: Op) -> bool:
    x, w = op.arg(0).type, op.arg(1).type
    depthwise = op.attrs["groups"] == x.dims[-1] == w.dims[0]
    return op.attrs["layout"] == "nhwc" and x.rank == 4 and not depthwise
