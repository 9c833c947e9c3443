"""Which ops have row kernels on the CPU targets, by the operator table's row rule: what the schedule may know of them.

Convolution, its transpose, pooling, resizing and matmul by constant weights have kernels of their own, for bytes as for
floats, and so has the way from channels first. Any other op with a rule runs as what it is on a tensor of one row,
once a row (one_row.py).
"""

from __future__ import annotations

import math

from edgec.ir.graph import Op, Value
from edgec.ir.macs import macs_of
from edgec.ir.ops import OPS
from edgec.ir.rows import SAME, RowRule, row_view
from edgec.plan.candidates import Channels, RowOp
from edgec.targets.c.lower.conv import conv_has_rows, is_depthwise, is_fast
from edgec.targets.c.lower.conv_transpose import phases_by_rows
from edgec.targets.c.lower.matmul_rows import TILE_ROWS, matmul_has_rows
from edgec.targets.c.lower.resize import resize_has_rows

# ops with row kernels of their own
OWN = (
    "conv", "conv_transpose", "max_pool", "avg_pool", "matmul", "resize", "qconv", "qmatmul", "qsum_pool", "qresize",
)  # fmt: skip
ROW_DTYPES = ("f32", "f16", "i32", "i8", "u8")
# the bytes of the result are the operand's, and nothing is computed
_ALIASES = ("bitcast", "cast", "encode", "reshape")
_NHWC = (0, 2, 3, 1)
_WEIGHTED = ("conv", "conv_transpose", "matmul", "qconv", "qmatmul")


def row_rule(op: Op) -> RowRule | None:
    if len(op.results) != 1:
        return None
    operands = [v.type if v is not None else None for v in op.inputs]
    return OPS[op.kind].rows(operands, op.result.type, op.attrs)


def row_op(op: Op) -> RowOp | None:
    """What the schedule may know of an op that has row kernels; None: it has none."""
    rule = row_rule(op)
    if rule is None or (op.kind in _ALIASES and not _to_bf16(op)) or not op.result.type.size:
        return None
    reads = [(v, w) for v, w in zip(op.inputs, rule.reads, strict=False) if v is not None and w is not None]
    if any(not v.type.size for v in (op.result, *(v for v, _ in reads))):
        return None
    dtypes = {v.type.dtype for v in (op.result, *(v for v, _ in reads))}
    if not dtypes <= set(ROW_DTYPES) and not _narrow_product(op):
        return None
    if not _narrow_product(op) and not _quantised(op) and dtypes not in ({"f32"}, {"f16"}):
        return None
    if op.kind in ("conv", "conv_transpose", "qconv") and op.arg(0).const is not None:
        return None  # an image too dear to fold: no stage would ask for the rows of its padded copy
    if not _has_kernel(op, rule):
        return None
    weights = op.arg(1).type.stored.nbytes if op.kind in _WEIGHTED else 0
    columns = row_view(op.result.type.dims).columns
    least = -(-TILE_ROWS // columns) if op.kind in ("matmul", "qmatmul") else 1
    varying = tuple((v, w) for v, w in reads if v.const is None)
    each_row = op.kind not in OWN and not from_planes(op)
    channels, unit = _channels(op, rule)
    return RowOp(
        rule.rows, varying, rule.images, weights, min(least, rule.rows), rule.sink, each_row, macs_of(op), channels,
        unit,
    )  # fmt: skip


def _to_bf16(op: Op) -> bool:
    """A cast that makes what products of bf16 read."""
    return op.kind == "cast" and op.arg(0).type.dtype == "f32" and op.result.type.dtype == "bf16"


def _narrow_product(op: Op) -> bool:
    """A product of narrower numbers than it adds, or a cast that makes them."""
    return _to_bf16(op) or (op.kind in ("conv", "matmul") and bool(op.attrs["to"]))


def _quantised(op: Op) -> bool:
    """An op that knows of bytes, or moves them without asking what they are."""
    return OPS[op.kind].family == "integer" or op.kind in ("max_pool", "concat", "slice", "pad", "gather", "transpose")


def _channels(op: Op, rule: RowRule) -> tuple[Channels, int]:
    """How the result's channels come from the operand's, and RowOp.unit."""
    if op.kind in _WEIGHTED and op.arg(1).type.encodings:
        return "", 0  # slices would decode the weights
    if op.kind in ("conv", "matmul") and op.attrs["to"] == "bf16":
        return "all", 0  # nothing is added to rounded sums
    if _to_bf16(op):
        return "each", 0
    if op.kind == "conv":
        if is_depthwise(op) and len(op.inputs) <= 3:
            return "each", 0
        if op.attrs["groups"] != 1:
            return "", 0
        columns = op.result.type.dims[2]
        whole = op.arg(1).type.dims[2:] == (1, 1) and any(columns % rows == 0 for rows in (4, 5, 6, 7, 8))
        return ("free", 1) if whole else ("all", 0)
    if op.kind == "conv_transpose":
        return ("all", 0) if op.attrs["groups"] == 1 else ("", 0)
    if op.kind == "matmul":
        columns = row_view(op.result.type.dims).columns
        return "free", 8 // math.gcd(8, columns)
    if op.kind in ("max_pool", "avg_pool"):
        return "each", 0
    if OPS[op.kind].family == "elementwise" and op.arg(0).type == op.result.type:
        others = [v for v in op.inputs[1:] if v is not None]
        return ("each", 0) if all(_vector(v, op.result.type.dims[-1]) for v in others) else ("", 0)
    return "", 0


def _vector(value: Value, channels: int) -> bool:
    """A constant: one number, or one for each channel."""
    if value.const is None:
        return False
    return value.type.size == 1 or (value.type.size == channels and value.type.dims[-1] == channels)


def _has_kernel(op: Op, rule: RowRule) -> bool:
    if op.kind in ("conv", "qconv"):
        return conv_has_rows(op)
    if op.kind == "conv_transpose":
        return phases_by_rows(op)
    if op.kind in ("max_pool", "avg_pool", "qsum_pool"):
        return is_fast(op)
    if op.kind == "qmatmul":
        return all(v is None or v.const is not None for v in op.inputs[1:])
    if op.kind in ("resize", "qresize"):
        return resize_has_rows(op)
    if op.kind == "matmul":
        return matmul_has_rows(op)
    if from_planes(op):
        return True
    if not any(w == SAME for w in rule.reads):
        return False
    if op.kind.startswith("reduce_"):
        axes: tuple[int, ...] = op.attrs["axes"]  # type: ignore[assignment]
        inside = [a for a in axes if not (rule.sink and a == 1)]
        return any(op.arg(0).type.dims[a] > 1 for a in inside)
    return True


def from_planes(op: Op) -> bool:
    """From channels first to channels last, row by row, out of an operand that is there as a whole."""
    return op.kind == "transpose" and op.attrs["perm"] == _NHWC and op.result.type.dtype in ("f32", "f16")


def reads_rows(op: Op, value: Value) -> bool:
    """Whether the op takes `value` by rows, wherever they lie."""
    fact = row_op(op)
    return fact is not None and any(v is value for v, _ in fact.reads)
