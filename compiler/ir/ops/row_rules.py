"""Row rules of the operator table (ir/rows.py): from operand types, result type and attributes. None: no rule for this
form, which makes the op a boundary of blocks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from edgec.ir.rows import SAME, RowRule, Window, row_axes, row_view
from edgec.ir.types import Type

Rule = Callable[[Sequence[Type | None], Type, Any], RowRule | None]


def boundary(operands: Sequence[Type | None], result: Type, attrs: Any) -> RowRule | None:
    """No rule: a block ends before the operator, and the next begins behind it."""
    return None


def _rule(result: Type, reads: Sequence[Window | None]) -> RowRule:
    view = row_view(result.dims)
    return RowRule(view.images, view.rows, tuple(reads))


def _broadcast_reads(operands: Sequence[Type | None], result: Type) -> list[Window | None] | None:
    """Operands that are broadcast to the result: those with its rows, those with one row for all. None: one is neither,
    and has no affine way from result rows to its own."""
    lead = row_axes(result.rank)
    reads: list[Window | None] = []
    for operand in operands:
        if operand is None:
            reads.append(None)
            continue
        dims = (1,) * (result.rank - operand.rank) + operand.dims
        if dims[:lead] == result.dims[:lead]:
            reads.append(SAME)
        elif result.rank == 4 or all(d == 1 for d in dims[:lead]):
            reads.append(None)
        else:
            return None
    return reads


def elementwise(operands: Sequence[Type | None], result: Type, attrs: Any) -> RowRule | None:
    """The same row of each operand that has rows; operands with one row for all are needed whole."""
    if result.rank < 2:
        return None
    reads = _broadcast_reads(operands, result)
    return _rule(result, reads) if reads is not None else None


def matmul(operands: Sequence[Type | None], result: Type, attrs: Any) -> RowRule | None:
    """The same row, by a matrix that all rows share."""
    a, b = operands[:2]
    if a is None or b is None or b.rank < 2 or any(d != 1 for d in b.dims[:-2]) or a.rank != result.rank:
        return None
    bias = _broadcast_reads(operands[2:], result)
    return _rule(result, [SAME, None, *bias]) if bias is not None else None


def window(operands: Sequence[Type | None], result: Type, attrs: Any) -> RowRule | None:
    """Rows under the kernel, of channels-last images; what is added to a convolution's result, by the same row."""
    x = operands[0]
    if x is None or x.rank != 4 or attrs["layout"] != "nhwc":
        return None
    kernel = attrs["kernel"] if "kernel" in attrs else operands[1].dims[2:] if operands[1] is not None else ()
    extent = (kernel[0] - 1) * attrs["dilations"][0] + 1
    added = [SAME if o is not None and o.dims == result.dims else None for o in operands[1:]]
    return _rule(result, [Window(attrs["strides"][0], attrs["pads"][0], extent), *added])


def own_row(operands: Sequence[Type | None], result: Type, attrs: Any) -> RowRule | None:
    """The same row of the first operand; the others belong to all rows."""
    if result.rank < 2 or 0 <= attrs.get("axis", -1) < row_axes(result.rank):
        return None
    return _rule(result, [SAME, *(None for _ in operands[1:])])


def transposed_window(operands: Sequence[Type | None], result: Type, attrs: Any) -> RowRule | None:
    """Rows of channels-last images that have a tap for it: row y has tap t at row (y + pad - t*dilation)/stride."""
    x, w = operands[:2]
    if x is None or w is None or x.rank != 4 or attrs["layout"] != "nhwc":
        return None
    stride, pad = attrs["strides"][0], attrs["pads"][0]
    reach = (w.dims[2] - 1) * attrs["dilations"][0]
    rows = Window(1, reach - pad - stride + 1, max(1, reach - stride + 2), stride)
    return _rule(result, [rows, *(None for _ in operands[1:])])


def _beyond(axis: int, rank: int) -> bool:
    """Whether an axis lies inside a row."""
    return rank >= 2 and axis % rank >= row_axes(rank)


def along_axis(operands: Sequence[Type | None], result: Type, attrs: Any) -> RowRule | None:
    """The same row, where the axis lies in it."""
    if not _beyond(attrs["axis"], result.rank):
        return None
    return _rule(result, [SAME, *(None for _ in operands[1:])])


def reduction(operands: Sequence[Type | None], result: Type, attrs: Any) -> RowRule | None:
    """The same row, where the axes lie in it; all rows of an image that is reduced to a pixel, one after the other."""
    x, axes = operands[0], attrs["axes"]
    if x is None or x.rank < 2:
        return None
    if all(_beyond(axis, x.rank) for axis in axes):
        return _rule(result, [SAME]) if attrs["keepdims"] else None
    if x.rank == 4 and 1 in axes and len(axes) > 1 and 0 not in axes:
        return RowRule(x.dims[0], x.dims[1], (SAME,), sink=True)
    return None


def concat(operands: Sequence[Type | None], result: Type, attrs: Any) -> RowRule | None:
    """The same row of each operand, where the axis lies in it."""
    return _rule(result, [SAME for _ in operands]) if _beyond(attrs["axis"], result.rank) else None


def slices(operands: Sequence[Type | None], result: Type, attrs: Any) -> RowRule | None:
    """The same row, where all rows are kept."""
    x = operands[0]
    if x is None or result.rank < 2:
        return None
    lead = row_axes(result.rank)
    whole = x.dims[:lead] == result.dims[:lead] and all(s == 1 for s in attrs["steps"][:lead])
    return _rule(result, [SAME]) if whole else None


def pad(operands: Sequence[Type | None], result: Type, attrs: Any) -> RowRule | None:
    """The same row, where no row is added."""
    lead = row_axes(result.rank)
    inside = result.rank >= 2 and not any(attrs["before"][:lead]) and not any(attrs["after"][:lead])
    return _rule(result, [SAME]) if inside else None


def transpose(operands: Sequence[Type | None], result: Type, attrs: Any) -> RowRule | None:
    """The same row, where rows stay rows; all of the operand otherwise."""
    if result.rank < 2:
        return None
    lead = row_axes(result.rank)
    return _rule(result, [SAME if attrs["perm"][:lead] == tuple(range(lead)) else None])


def gather(operands: Sequence[Type | None], result: Type, attrs: Any) -> RowRule | None:
    """The same row, where columns or channels are taken by one list of indices."""
    x, index = operands[:2]
    if x is None or index is None or index.rank != 1 or not _beyond(attrs["axis"], x.rank):
        return None
    return _rule(result, [SAME, None])
