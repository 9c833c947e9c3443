"""What rounding takes from the weights of a matmul, given back as a product of two thin float matrices (Z. Yao et al.,
"ZeroQuant-V2", 2023, low-rank compensation; X. Wu et al., "ZeroQuant-FP", 2023).

That is for matmuls whose two matrices are smaller than their weights in floats, which would have no error at all.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from edgec.ir.errors import UsageError
from edgec.ir.graph import Graph, Op, Value
from edgec.ir.ops import OPS

Array = np.ndarray[Any, Any]


def rank_for(op: Op, rank: int, lanes: int) -> int:
    """The rank, or 0 of an op that it is not for, on a core with registers of so many floats."""
    return rank if _is_smaller(op, rank, lanes) else 0


def check_rank(ops: Iterable[Op], rank: int, lanes: int) -> None:
    """UsageError for a rank that is for none of the ops whose weights are rounded."""
    known = list(ops)
    if not rank or any(_is_smaller(op, rank, lanes) for op in known):
        return
    most = max((_most(op, lanes) for op in known), default=0)
    legal = f"give 1 to {most} for this model" if most else "leave it out"
    raise UsageError(f"--low-rank {rank}: they take as many bytes as the weights of any matmul do in floats; {legal}")


def factor_bytes(op: Op, rank: int, lanes: int) -> int:
    """Of both factors as they are stored, columns and biases filled up to whole registers."""
    k, n = op.arg(1).type.dims[-2:]
    thin, wide = (-(-columns // lanes) * lanes for columns in (rank, n))
    return 4 * (k * thin + thin + rank * wide)


def _most(op: Op, lanes: int) -> int:
    """The largest rank whose factors are smaller."""
    largest = min(op.arg(1).type.dims[-2:]) if op.kind == "matmul" else 0
    return max((r for r in range(1, largest + 1) if _is_smaller(op, r, lanes)), default=0)


def _is_smaller(op: Op, rank: int, lanes: int) -> bool:
    """Whether factors of this rank are smaller than the weights of a matmul in floats."""
    if op.kind != "matmul" or not rank:
        return False
    k, n = op.arg(1).type.dims[-2:]
    return rank <= min(k, n) and factor_bytes(op, rank, lanes) < 4 * k * -(-n // lanes) * lanes


def low_rank_facts(layers: Mapping[Op, Mapping[str, Any]], rank: int, lanes: int) -> dict[str, Any]:
    """For the receipt, of operators with coded weights and what is said of each: what factors cost, and gained."""
    taken = {op: row for op, row in layers.items() if "low_rank_gained_db" in row}
    return {
        "low_rank": rank,
        "low_rank_operators": [op.label for op in taken],
        "low_rank_bytes": sum(factor_bytes(op, rank, lanes) for op in taken),
        "low_rank_gained_db": [row["low_rank_gained_db"] for row in taken.values()],
    }


def factors(error: Array, rank: int) -> tuple[Array, Array]:
    """a[k, r] and b[r, n] whose product is the nearest of that rank to error[k, n]."""
    u, s, v = np.linalg.svd(error, full_matrices=False)
    root = np.sqrt(s[:rank])
    return (u[:, :rank] * root).astype(np.float32), (root[:, None] * v[:rank]).astype(np.float32)


def add_product(graph: Graph, op: Op, a: Array, b: Array) -> None:
    """matmul %x, #w, %bias  ->  %1 = matmul %x, #a; %2 = matmul %1, #b, %bias; matmul %x, #w, %2"""
    bias = op.inputs[2] if len(op.inputs) > 2 else None
    thin = _matmul(graph, op, [op.arg(0), graph.constant(a)])
    op.inputs[2:3] = [_matmul(graph, op, [thin, graph.constant(b), *([bias] if bias is not None else [])])]


def _matmul(graph: Graph, before: Op, operands: list[Value]) -> Value:
    row = OPS["matmul"]
    made = Op("matmul", operands, row.complete({}), before.source)
    types = row.infer([v.type.plain for v in operands], made.attrs)
    return graph.insert(graph.ops.index(before), made, types)[0]
