"""What moves elements, or takes the largest: the same on bytes, once all are on the result's grid."""

from __future__ import annotations

from edgec.ir.graph import Op, Value
from edgec.ir.ops.resize import is_blend, whole_taps
from edgec.passes.form import Form
from edgec.passes.requant import NotInIntegers
from edgec.passes.table_forms import rescaled

MOST_TAPS = 16  # of interpolation along an axis


def move_form(f: Form) -> Value:
    """What moves elements, or takes the largest: the same on bytes."""
    result = f.target()
    on_grid = [rescaled(f.build, *f.byte(i, result), result) for i in range(len(f.operands))]
    attrs = dict(f.attrs)
    if f.op.kind == "pad":
        attrs["value"] = result.nearest(float(attrs["value"]))
    return f.build.op(f.op.kind, *on_grid, **attrs)


def resizes_bytes(op: Op) -> bool:
    """By moving elements, or by few weights of neighbours."""
    if op.attrs["mode"] == "nearest":
        return True
    dims, a = op.arg(0).type.dims, op.attrs
    return is_blend(a, dims) and all(whole_taps(a, i, dims[i])[0].shape[1] <= MOST_TAPS for i in (1, 2))


def resize_form(f: Form) -> Value:
    if not resizes_bytes(f.op):
        raise NotInIntegers("NO_INTEGER_FORM")
    if f.attrs["mode"] == "nearest":
        return move_form(f)
    return f.build.op("qresize", rescaled(f.build, *f.byte(0), f.target()), **f.attrs)


def gather_form(f: Form) -> Value:
    """Elements by integers; of a constant, too."""
    (index, _), result = f.operands[1], f.target()
    return f.build.op("gather", rescaled(f.build, *f.byte(0, result), result), index, **f.attrs)
