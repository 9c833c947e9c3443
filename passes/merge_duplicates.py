"""Common sub-expressions: an op with the operands and attributes of an earlier one is that one.

%1 = relu %x
%2 = relu %x        %2 is %1
"""

from __future__ import annotations

from edgec.ir.graph import Graph, Op, Value


def merge_duplicates(graph: Graph) -> bool:
    seen: dict[tuple[object, ...], Op] = {}
    renamed: dict[Value, Value] = {}
    kept: list[Op] = []
    for op in graph.ops:
        op.inputs = [renamed.get(v, v) if v is not None else None for v in op.inputs]
        operands = tuple((v.const, v.type) if v is not None and v.const else v for v in op.inputs)
        key = (op.kind, operands, tuple((k, repr(a)) for k, a in sorted(op.attrs.items())))
        same = seen.setdefault(key, op)
        if same is op:
            kept.append(op)
        else:
            renamed.update(zip(op.results, same.results, strict=True))
    graph.ops = kept
    graph.replace_leaving(renamed)
    return bool(renamed)
