"""Matrix products: MatMul, Gemm, Einsum, Det."""

from __future__ import annotations

import math

import numpy as np

from edgec.ir.graph import Value
from edgec.onnx_import.items import Item
from edgec.onnx_import.node import Node, Table


def matmul(node: Node) -> list[Item]:
    return [product(node, node.value(0), node.value(1))]


def product(node: Node, a: Value, b: Value) -> Value:
    """numpy's matmul: a vector is a row on the left and a column on the right, and leaves again."""
    left, right = node.shape(a), node.shape(b)
    if not left or not right:
        node.broken("needs operands of at least one dimension")
    full_a = node.reshape(a, (1, *left)) if len(left) == 1 else a
    full_b = node.reshape(b, (*right, 1)) if len(right) == 1 else b
    result = node.op("matmul", full_a, full_b)
    shape = list(node.shape(result))
    if len(right) == 1:
        del shape[-1]
    if len(left) == 1:
        del shape[-1 if len(right) == 1 else -2]
    return node.reshape(result, shape)


def gemm(node: Node) -> list[Item]:
    """alpha A' B' + beta C. B is a constant in most models, so alpha goes there; [N, K] weights stay as they are."""
    a, b, c = node.value(0), node.value(1), node.optional(2)
    alpha, beta = node.number("alpha", 1.0), node.number("beta", 1.0)
    if len(node.shape(a)) != 2 or len(node.shape(b)) != 2:
        node.broken("needs matrices")
    if node.flag("transA"):
        a = node.transpose(a, (1, 0))
    if alpha != 1:
        b, a = scaled(node, b, alpha, a)
    if c is not None and beta != 1:
        c = None if beta == 0 else node.op("mul", c, node.like(beta, c))
    trans = node.flag("transB")
    columns = node.shape(b)[0 if trans else 1]
    if c is not None and len(node.shape(c)) > 1 and node.shape(c) == (1, columns):
        c = node.reshape(c, (columns,))
    if c is not None and node.shape(c) == (columns,):
        return [node.op("matmul", a, b, c, trans_b=trans)]
    result = node.op("matmul", a, b, trans_b=trans)
    if c is None:
        return [result]
    shape = node.shape(c)
    # unidirectional: C must not widen the product
    if np.broadcast_shapes(shape, node.shape(result)) != node.shape(result):
        node.broken(f"has a C of the shape {list(shape)}, which does not fit {list(node.shape(result))}")
    return [node.op("add", result, c)]


def scaled(node: Node, b: Value, alpha: float, a: Value) -> tuple[Value, Value]:
    """alpha on whichever factor is constant."""
    if (a.const is not None and b.const is None) or not node.is_float(a):
        return b, node.op("mul", a, node.like(alpha, a))
    return node.op("mul", b, node.like(alpha, b)), a


def parse_equation(node: Node, ranks: list[int]) -> tuple[list[str], str]:
    """Terms and output of an Einsum equation with the ellipsis spelled in capitals from 'A' on... of free letters."""
    equation = node.text("equation", "").replace(" ", "")
    left, arrow, right = equation.partition("->")
    terms = left.split(",")
    if len(terms) != len(ranks):
        node.broken(f"has the equation '{equation}' for {len(ranks)} operands")
    spare = [chr(c) for c in range(0x100, 0x180)]
    pairs = list(zip(terms, ranks, strict=True))
    dots = max((rank - len(t.replace("...", "")) for t, rank in pairs if "..." in t), default=0)
    if dots < 0 or dots > len(spare):
        node.broken(f"has the equation '{equation}', which does not fit its operands")
    full = []
    for term, rank in zip(terms, ranks, strict=True):
        own = rank - len(term.replace("...", ""))
        full.append(term.replace("...", "".join(spare[dots - own : dots])))
        if len(full[-1]) != rank:
            node.broken(f"has the equation '{equation}', whose term '{term}' does not fit {rank} dimensions")
    letters = "".join(full)
    if not arrow:
        once = sorted(c for c in set(letters) if letters.count(c) == 1 and c not in spare)
        right = "".join(spare[:dots]) + "".join(once)
    right = right.replace("...", "".join(spare[:dots]))
    if len(set(right)) != len(right) or not set(right) <= set(letters):
        node.broken(f"has the equation '{equation}', whose output is not legal")
    return full, right


def einsum(node: Node) -> list[Item]:
    """Operands are joined from left to right; each join is one batched matmul."""
    values = node.values()
    terms, right = parse_equation(node, [len(node.shape(v)) for v in values])
    pairs = [take_diagonals(node, v, t) for v, t in zip(values, terms, strict=True)]
    while len(pairs) > 1:
        (a, ta), (b, tb), *rest = pairs
        keep = set(right) | {c for _, t in rest for c in t}
        pairs = [join(node, a, ta, b, tb, keep), *rest]
    value, term = sum_out(node, *pairs[0], keep=set(right))
    # a letter that only stood on operands of size one still has its place in the output
    return [node.transpose(value, [term.index(c) for c in right])]


def take_diagonals(node: Node, value: Value, term: str) -> tuple[Value, str]:
    """`ii` -> `i`: repeated letters of one operand are its diagonal."""
    for letter in sorted(set(term)):
        while term.count(letter) > 1:
            i, j = [k for k, c in enumerate(term) if c == letter][:2]
            order = [k for k in range(len(term)) if k not in (i, j)]
            value = node.transpose(value, [*order, i, j])
            shape = node.shape(value)
            n = shape[-1]
            if shape[-2] != n:
                node.broken(f"takes the diagonal of a {shape[-2]} by {n} matrix")
            flat = node.reshape(value, (*shape[:-2], n * n))
            value = node.slice(flat, len(shape) - 2, 0, n * n, n + 1)
            term = "".join(term[k] for k in order) + letter
    return value, term


def sum_out(node: Node, value: Value, term: str, keep: set[str]) -> tuple[Value, str]:
    axes = [i for i, c in enumerate(term) if c not in keep]
    if axes:
        value = node.reduce("sum", value, axes)
    return value, "".join(c for c in term if c in keep)


def join(node: Node, a: Value, ta: str, b: Value, tb: str, keep: set[str]) -> tuple[Value, str]:
    """[batch, m, k] x [batch, k, n], where letters of both are batch when kept and k when not."""
    a, ta = sum_out(node, a, ta, keep | set(tb))
    b, tb = sum_out(node, b, tb, keep | set(ta))
    sizes: dict[str, int] = {}
    for value, term in ((a, ta), (b, tb)):
        for size, c in zip(node.shape(value), term, strict=True):
            if sizes.setdefault(c, size) != size and 1 not in (size, sizes[c]):
                node.broken(f"has two sizes for one letter: {sizes[c]} and {size}")
            sizes[c] = max(size, sizes[c]) if 0 not in (size, sizes[c]) else 0
    shared = [c for c in ta if c in tb]
    # broadcasting a dimension of one (only the ellipsis may) must be explicit before it is flattened
    a = node.broadcast(a, [sizes[c] if c in shared else s for c, s in zip(ta, node.shape(a), strict=True)])
    b = node.broadcast(b, [sizes[c] if c in shared else s for c, s in zip(tb, node.shape(b), strict=True)])
    batch = [c for c in shared if c in keep]
    inner = [c for c in shared if c not in keep]
    rows = [c for c in ta if c not in tb]
    columns = [c for c in tb if c not in ta]

    def grouped(value: Value, term: str, *groups: list[str]) -> Value:
        order = [term.index(c) for group in groups for c in group]
        dims = [math.prod([sizes[c] for c in group]) for group in groups[1:]]
        return node.reshape(node.transpose(value, order), [*(sizes[c] for c in groups[0]), *dims])

    left, right = grouped(a, ta, batch, rows, inner), grouped(b, tb, batch, inner, columns)
    result = node.op("matmul", left, right)
    order = batch + rows + columns
    return node.reshape(result, [sizes[c] for c in order]), "".join(order)


def det(node: Node) -> list[Item]:
    """Laplace expansion along the first row, for matrices that are small enough."""
    x = node.value(0)
    shape = node.shape(x)
    if len(shape) < 2 or shape[-1] != shape[-2]:
        node.broken(f"needs square matrices, not the shape {list(shape)}")
    if shape[-1] > 4:
        node.refuse(f"is of {shape[-1]} by {shape[-1]} matrices; up to 4 by 4 are supported")
    return [determinant(node, x)]


def determinant(node: Node, x: Value) -> Value:
    *batch, _, n = node.shape(x)
    rank = len(batch) + 2
    total: Value | None = None
    for j in range(n):
        row = node.slice(node.slice(x, rank - 2, 0, 1), rank - 1, j, j + 1)
        factor = node.reshape(row, batch)
        if n > 1:
            below = node.slice(x, rank - 2, 1, n)
            parts = [node.slice(below, rank - 1, 0, j)] if j else []
            parts += [node.slice(below, rank - 1, j + 1, n)] if j + 1 < n else []
            factor = node.op("mul", factor, determinant(node, node.concat(parts, rank - 1)))
        total = factor if total is None else node.op("sub" if j % 2 else "add", total, factor)
    return total if total is not None else node.full(batch, 1, x.type.dtype)


MATMUL: Table = {"MatMul": matmul, "Gemm": gemm, "Einsum": einsum, "Det": det}
