"""Scales and zero points: what is legal, real tensors of bytes and bytes of real tensors.

Where both are known at import, a tensor goes by the core operators `quantize` and `dequantize`, and a constant becomes
an encoded one, so that `absorb_qdq` finds them; otherwise the arithmetic is written out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import ml_dtypes
import numpy as np

from edgec.ir.encodings import nearest_steps
from edgec.ir.graph import Value
from edgec.ir.types import DTYPES, INTEGERS, NARROW_FLOATS, NARROW_INTEGERS, Quant, Type
from edgec.onnx_import.node import Node
from edgec.onnx_import.ops.halves_of_codes import halves_of_codes

Array = np.ndarray[Any, Any]
QUANTISED = ("i8", "u8", "i16", "u16")
REALS = ("f32", "f16", "bf16")  # what scales, and what is quantised by them, may be for encodings
BYTES = {"i8": "int8", "u8": "uint8"}  # ONNX's names


@dataclass(frozen=True)
class Scales:
    """The scale and the zero point of a tensor as operands of a node; what messages call them."""

    scale: Value
    zero: Value | None
    axis: int = 0  # of a vector of scales
    label: str = "scale"


def checked(node: Node, dtype: str, given: Scales) -> None:
    """ModelError where they are not legal for a tensor that is stored as `dtype`."""
    scale, zero, label = given.scale, given.zero, given.label
    if scale.const is not None:
        numbers = node.walk.graph.array(scale).astype(np.float64)
        wrong = numbers[~(np.isfinite(numbers) & (numbers > 0))]
        if wrong.size:
            node.broken(f"has a {label} of {float(wrong[0])!r}; legal are positive finite numbers")
    if not node.is_float(scale):
        node.broken(f"has a {label} of {scale.type.dtype}; legal are floats")
    if zero is None:
        return
    if zero.type.dtype != dtype:
        node.broken(f"has a zero point of {zero.type.dtype} beside the {label} of a tensor of {dtype}; "
                    "legal is the tensor's own type")  # fmt: skip
    if node.shape(zero) not in (node.shape(scale), (), (1,)):
        node.broken(f"has zero points of the shape {list(node.shape(zero))} beside a {label} of "
                    f"{list(node.shape(scale))}; legal are equal shapes")  # fmt: skip
    if dtype == "i32" and zero.const is not None and np.any(node.walk.graph.array(zero)):
        node.broken(f"has a zero point other than 0 beside the {label} of a tensor of int32; legal is 0")


def fitted(node: Node, value: Value, shape: tuple[int, ...], axis: int, label: str = "scale") -> Value:
    """A scale or zero point so that it broadcasts over a shape: one number, one a slice of `axis`, or one a block."""
    own = node.shape(value)
    if own in ((), (1,)):
        return node.reshape(value, ())
    axis = node.axis(axis, len(shape))
    if len(own) == 1:
        _check_length(node, own[0], shape, axis, label)
        return node.reshape(value, [own[0] if i == axis else 1 for i in range(len(shape))])
    block = node.integer("block_size", 0)
    if block < 0:
        node.broken(f"has a block_size of {block}; legal are 0 and positive numbers")
    fits = len(own) == len(shape) and block > 0
    blocks = [-(-n // block) if i == axis else n for i, n in enumerate(shape)] if fits else []
    if list(own) != blocks:
        node.broken(f"has a {label} of the shape {list(own)} for the shape {list(shape)} in blocks of {block} along "
                    f"axis {axis}" + (f"; legal is {blocks}" if fits else ""))  # fmt: skip
    # each scale covers `block` elements of the axis
    wide = [*own[: axis + 1], block, *own[axis + 1 :]]
    spread = node.broadcast(node.reshape(value, [*own[: axis + 1], 1, *own[axis + 1 :]]), wide)
    spread = node.reshape(spread, [*own[:axis], own[axis] * block, *own[axis + 1 :]])
    return node.slice(spread, axis, 0, shape[axis])


def _check_length(node: Node, count: int, shape: tuple[int, ...], axis: int, label: str) -> None:
    if count != shape[axis]:
        node.broken(f"has {count} numbers as its {label} for a length of {shape[axis]}; legal are 1 and {shape[axis]}")


def known(node: Node, shape: tuple[int, ...], dtype: str, given: Scales) -> tuple[Array, Array, int | None] | None:
    """Scale, as float32, and zero point as an encoding has them, and their axis; None where they are known at run time
    only, lie in blocks or are wider floats."""
    graph = node.walk.graph
    if given.scale.const is None or given.scale.type.dtype not in REALS or len(node.shape(given.scale)) > 1:
        return None
    if given.zero is not None and given.zero.const is None:
        return None
    scale = graph.array(given.scale).astype(np.float32)
    zero = np.zeros((), DTYPES[dtype]) if given.zero is None else graph.array(given.zero)
    if scale.size == 1:
        return scale.reshape(()), zero.reshape(()), None
    axis = node.axis(given.axis, len(shape))
    _check_length(node, scale.size, shape, axis, given.label)
    return scale, np.array(np.broadcast_to(zero.reshape(-1), scale.shape)), axis


def dequantised(node: Node, x: Value, given: Scales, to: str = "f32") -> Value:
    """(x - zero) * scale; the difference is taken in integers that hold it, the product in float32 where `to` is one
    of the halves."""
    shape, dtype = node.shape(x), x.type.dtype
    checked(node, dtype, given)
    numbers = known(node, shape, dtype, given) if to in REALS and dtype in (*QUANTISED, "i32") else None
    if numbers is None:
        return _dequantised(node, x, given, to)
    scale, zero, axis = numbers
    graph = node.walk.graph
    if x.const is not None:
        encoding = Quant(dtype, graph.module.intern(scale), graph.module.intern(zero), axis)
        return graph.encoded(graph.stored(x), Type(to, shape, (encoding,)), x.name)
    real = node.op("dequantize", x, node.constant(scale), node.constant(zero), axis=-1 if axis is None else axis)
    return node.cast(real, to)


def _dequantised(node: Node, x: Value, given: Scales, to: str) -> Value:
    wide = "f32" if to in ("f16", "bf16") else to
    scale = fitted(node, given.scale, node.shape(x), given.axis, given.label)
    number = x
    if x.const is not None and x.type.dtype in BYTES:
        node.walk.graph.module.narrow[BYTES[x.type.dtype]] += x.type.size
        coded = _in_blocks(node, x, given, to)
        if coded is not None:
            return coded
    if given.zero is not None and not _is_nothing(node, given.zero):
        zero = fitted(node, given.zero, node.shape(x), given.axis, "zero point")
        if x.type.dtype in (*QUANTISED, *NARROW_INTEGERS):
            number, zero = node.cast(x, "i32"), node.cast(zero, "i32")
        elif x.type.dtype in NARROW_FLOATS:
            number, zero = node.cast(x, "f32"), node.cast(zero, "f32")
        number = node.op("sub", number, zero)
    return node.cast(node.op("mul", node.cast(number, wide), node.cast(scale, wide)), to)


def _in_blocks(node: Node, x: Value, given: Scales, to: str) -> Value | None:
    """A constant of bytes with constant scales in blocks as encoded halves, where it is one."""
    graph, rank = node.walk.graph, len(node.shape(x))
    if given.scale.const is None or len(node.shape(given.scale)) < 2:
        return None
    if given.zero is not None and (given.zero.const is None or node.shape(given.zero) != node.shape(given.scale)):
        return None
    axis, block = node.axis(given.axis, rank), node.integer("block_size", 0)
    zero = None if given.zero is None else graph.array(given.zero)
    return halves_of_codes(node, x, graph.array(given.scale), zero, axis, block, to)


def quantised(node: Node, x: Value, given: Scales, dtype: str, work: str = "f32", saturate: bool = True) -> Value:
    """saturate(round(x / scale) + zero), rounding half to even; `saturate` is for 8-bit floats. `work` is the type of
    the division; core `quantize` does not round quotients to halves, and takes the nearer step where those would be
    ties."""
    shape = node.shape(x)
    limits = None if dtype in NARROW_FLOATS else limits_of(node, dtype)
    checked(node, dtype, given)
    real = work in REALS and x.type.dtype in REALS and dtype in QUANTISED
    numbers = known(node, shape, dtype, given) if real else None
    if numbers is not None:
        scale, zero, axis = numbers
        if x.const is not None:
            along = [-1 if i == axis else 1 for i in range(len(shape))] if axis is not None else []
            quotients = node.walk.graph.array(x).astype(DTYPES[work]) / scale.reshape(along).astype(DTYPES[work])
            one = np.ones((), np.float32)
            return node.constant(nearest_steps(quotients.astype(np.float32), one, zero.reshape(along)))
        by = (node.constant(scale), node.constant(zero))
        return node.op("quantize", node.cast(x, "f32"), *by, axis=-1 if axis is None else axis)
    if work == x.type.dtype == "f32" and dtype in QUANTISED and _numbers(node, given):
        start = node.constant(np.zeros((), DTYPES[dtype])) if given.zero is None else node.reshape(given.zero, ())
        return node.op("quantize", x, node.reshape(given.scale, ()), start)
    wide = "f32" if work in ("f16", "bf16") else work
    scale_ = node.cast(fitted(node, given.scale, shape, given.axis, given.label), wide)
    steps = node.op("div", node.cast(x, wide), scale_)
    if limits is not None:
        steps = node.op("round", node.cast(node.cast(steps, work), wide))
    if given.zero is not None and not _is_nothing(node, given.zero):
        steps = node.op("add", steps, node.cast(fitted(node, given.zero, shape, given.axis, "zero point"), wide))
    if limits is None:
        return node.op("cast", steps, to=dtype, saturate=saturate)
    return node.cast(node.op("clip", steps, lo=float(limits[0]), hi=float(limits[1])), dtype)


def _is_nothing(node: Node, zero: Value) -> bool:
    """Zeros of a type of floats, which are there to name it: adding them would lose the sign of a zero."""
    return zero.type.dtype in NARROW_FLOATS and zero.const is not None and not np.any(node.array(zero))


def _numbers(node: Node, given: Scales) -> bool:
    """One scale for the tensor, in float32, and one zero point."""
    each = [v for v in (given.scale, given.zero) if v is not None]
    return given.scale.type.dtype == "f32" and all(node.shape(v) in ((), (1,)) for v in each)


def limits_of(node: Node, dtype: str) -> tuple[int, int]:
    if dtype not in INTEGERS | NARROW_INTEGERS:
        node.refuse(f"quantises to {dtype}; integers are supported")
    info = ml_dtypes.iinfo(DTYPES[dtype])
    return int(info.min), int(info.max)
