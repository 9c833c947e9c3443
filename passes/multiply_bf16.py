"""Convolutions and matmuls by constant weights multiply bf16 and add in float32.

%1 = conv %x, #w, #b      ->   %2: bf16[…] = cast %x {to="bf16"}
                               %1: f32[…] = conv %2, #w', #b {…, to="f32"}

A value is rounded once, however many products read it. What nobody reads but such products is stored as bf16 by the one
that makes it: {to="bf16"}. Everything else stays float32: sums, biases, residuals, what is neither.
"""

from __future__ import annotations

from collections.abc import Callable

import ml_dtypes
import numpy as np

from edgec.ir.build import Builder
from edgec.ir.graph import Graph, Op, Value

PRODUCTS = ("conv", "matmul")
CLAMPS = ("", "relu", "relu6", "clip")  # what is done before a sum is rounded

# Why an operator that multiplies floats stays as it is, by code.
NO_KERNEL, RANGE = "NO_BF16_KERNEL", "BF16_RANGE"
REASONS = {
    NO_KERNEL: "there is no kernel over bf16 for this form of the operator: it is done in float32",
    RANGE: "a weight of this operator is beyond what bf16 holds: it is done in float32",
}


def multiply_bf16(graph: Graph) -> bool:
    """Every product by constant weights that is not depthwise, as far as the graph says."""
    return bool(narrow_products(graph, refusal))


def refusal(op: Op) -> str:
    """The code of what this pass leaves; empty: it is narrowed."""
    x, w = op.arg(0), op.arg(1)
    if x.type.dtype != "f32" or x.const is not None or w.const is None or w.type.encodings or op.attrs["to"]:
        return NO_KERNEL
    depthwise = op.kind == "conv" and op.attrs["groups"] != 1 and w.type.dims[1] == 1
    return NO_KERNEL if depthwise else ""


def narrow_products(graph: Graph, refused: Callable[[Op], str]) -> list[Op]:
    """Narrows the products that `refused` has no code for; gives them."""
    chosen = {op for op in graph.ops if op.kind in PRODUCTS and not (refused(op) or beyond(graph, op))}
    users, leaving = graph.users(), graph.output_values()

    def only_multiplied(value: Value) -> bool:
        readers = users.get(value, [])
        return value not in leaving and bool(readers) and all(
            op in chosen and [i for i, v in enumerate(op.inputs) if v is value] == [0] for op in readers
        )  # fmt: skip

    rounded: dict[Value, Value] = {}
    renamed: dict[Value, Value] = {}
    old, graph.ops = graph.ops, []
    made: list[Op] = []
    for op in old:
        x = op.arg(0) if op.inputs and op.inputs[0] is not None else None
        op.inputs = [renamed.get(v, v) if v is not None else None for v in op.inputs]
        if x is None or op not in chosen:
            graph.ops.append(op)
            continue
        b = Builder(graph, source=op.source, fold=False)
        if x not in rounded:
            rounded[x] = b.op("cast", op.arg(0), to="bf16")
            rounded[x].name = x.name
        weights = b.const(graph.array(op.arg(1)).astype(ml_dtypes.bfloat16))
        stored = only_multiplied(op.result) and str(op.attrs["act"]).partition(":")[0] in CLAMPS
        result = b.op(op.kind, rounded[x], weights, *op.inputs[2:], **{**op.attrs, "to": "bf16" if stored else "f32"})
        result.name, result.origin = op.result.name, op.result.origin
        (rounded if stored else renamed)[op.result] = result
        assert result.op is not None
        made.append(result.op)
    graph.replace_leaving({v: renamed[v] for v in leaving & renamed.keys()})
    return made


def beyond(graph: Graph, op: Op) -> bool:
    """Whether a weight becomes infinite."""
    if op.arg(1).const is None or op.arg(1).type.dtype != "f32":
        return False
    weights = graph.array(op.arg(1))
    with np.errstate(over="ignore"):
        return bool(np.any(np.isfinite(weights) & ~np.isfinite(weights.astype(ml_dtypes.bfloat16))))
