"""Encoded constants as MIL's constexpr operators, with the very tables, masks and scales that they have.

| encodings                  | operators                                                        | from   |
|----------------------------|------------------------------------------------------------------|--------|
| palette                    | lut_to_dense (tables of groups, vectors, 3 bits: from iOS 18)    | iOS 16 |
| float8, one scale          | lut_to_dense of the 256 numbers times the scale                  | iOS 16 |
| sparse                     | sparse_to_dense                                                  | iOS 16 |
| quant, 8 bits              | affine_dequantize, from iOS 18 blockwise_shift_scale             | iOS 16 |
| quant in groups or 4 bits  | blockwise_shift_scale                                            | iOS 18 |
| sparse palette             | lut_to_sparse, sparse_to_dense                                   | iOS 18 |
| sparse quant               | sparse_blockwise_shift_scale, sparse_to_dense                    | iOS 18 |
| scale palette, float8      | lut_to_dense, blockwise_shift_scale                              | iOS 26 |

Below iOS 26 a table under a scale is no form: coremltools' default pass turns the two around, and repeats the table for
each scale. Scales of result channels then stand behind the product (channel_scale.py).

In halves, tables and what is sparse are rounded as plain weights are. A scale that halves do not have exactly would
change every weight: such a constant is decoded in float32, and cast (below iOS 17 it is plain halves).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from edgec.ir.encodings import FLOAT8
from edgec.ir.graph import Value
from edgec.ir.moved import reshaped
from edgec.ir.types import Encoding, Float8, Palette, Quant, Scale, Sparse, Type
from edgec.targets.coreml import packed
from edgec.targets.coreml.deployment import Deployment
from edgec.targets.coreml.mil import Var, types
from edgec.targets.coreml.ranks import MOST_RANK, held
from edgec.targets.coreml.refusal import NoRoute

if TYPE_CHECKING:
    from edgec.targets.coreml.emission import Emission

Array = np.ndarray[Any, Any]
LARGEST_HALF = 65504.0
BITS = {1: types.uint1, 2: types.uint2, 3: types.uint3, 4: types.uint4, 6: types.uint6, 8: types.uint8}
INTEGERS = {"i4": types.int4, "i8": types.int8, "u8": types.uint8}
NESTED = 26  # from which iOS on a scale over a table is a form
IN_FLOATS = "constants are stored as integers of 16 or 32 bits, which constexpr operators have not: floats here"
WIDE = "scales that halves do not have exactly: what has them is decoded in float32, and cast"
HALVES = "scales that halves do not have exactly: what has them is halves, since casts of weights come with iOS 17"
CASTS = 17  # from which iOS on weights may be what an operator makes
NOTED = 1024  # elements: smaller constants in floats are not worth a note


def constant(e: Emission, value: Value, dtype: str) -> Var:
    """An encoded constant as a variable of `dtype` (f32 or f16)."""
    if value.type.rank > MOST_RANK:
        shape = held(value.type.dims)
        value = reshaped(e.graph, value, shape) or e.graph.constant(e.graph.array(value).reshape(shape), value.name)
    if not value.type.encodings:
        return e.const(np.asarray(e.graph.array(value)), dtype)
    inner = value.type.encodings[-1]
    if not value.type.size or not value.type.rank or (isinstance(inner, Quant) and inner.format not in INTEGERS):
        if value.type.size >= NOTED:
            e.note(IN_FLOATS)
        return e.const(np.asarray(e.graph.array(value)), dtype)
    _check_deployment(e.deployment, value.type)
    wide = dtype if fits_halves(e, value, dtype) else "f32"
    if wide != dtype and (value.type.size < NOTED or e.deployment.number < CASTS):
        if value.type.size >= NOTED:
            e.note(HALVES)
        return e.const(np.asarray(e.graph.array(value)), dtype)
    if wide != dtype:
        e.note(WIDE)
    return e.cast(_made(e, value, wide), dtype)


def _made(e: Emission, value: Value, dtype: str) -> Var:
    stored, of, early = e.graph.stored(value), value.type, e.deployment.number < 18
    match of.encodings:
        case (Sparse() as sparse, *inner):
            return _sparse(e, stored, e.graph.module.constants[sparse.mask], of, inner, dtype)
        case (Quant() as quant,):
            return packed.affine(e, stored, quant, dtype) if early else _shifted(e, stored, quant, of, dtype)
        case (Palette() as palette,):
            return looked_up(e, stored, palette, table_of(e, palette), of, dtype)
        case (Float8() as bytes_,):
            scale = e.graph.module.constants[bytes_.scale]
            if bytes_.axis is None:
                return looked_up(e, stored, BYTES, numbers_of_bytes(bytes_, stored) * scale, of, dtype)
            table = looked_up(e, stored, BYTES, numbers_of_bytes(bytes_, stored), of, dtype)
            return _scaled(e, table, scales_of(e, bytes_, of), dtype)
        case (Scale() as scale_, Palette() as palette):
            table = looked_up(e, stored, palette, table_of(e, palette), of, dtype)
            return _scaled(e, table, scales_of(e, scale_, of), dtype)
    raise AssertionError(of.encodings)


BYTES = Palette(8, "")  # a byte stands for one of 256 numbers


def looked_up(e: Emission, indices: Array, palette: Palette, tables: Array, of: Type, dtype: str) -> Var:
    """Numbers of tables [tables, entries, length]."""
    if e.deployment.number < 18:
        return packed.looked_up(e, indices, palette.bits, e.as_dtype(tables.reshape(-1), dtype))
    return e.mil(
        "constexpr_lut_to_dense",
        indices=indices.astype(types.nptype_from_builtin(BITS[palette.bits])),
        lut=e.as_dtype(_lut(tables, palette, of), dtype),
        vector_axis=np.int32(palette.along) if palette.length > 1 else None,
    )


def table_of(e: Emission, palette: Palette) -> Array:
    return np.asarray(e.graph.module.constants[palette.table].astype(np.float32))


def numbers_of_bytes(encoding: Float8, stored: Array) -> Array:
    """The table [1, 256, 1] of an 8-bit float. NoRoute where one of the weights is infinite or no number."""
    numbers = np.arange(256, dtype=np.uint8).view(FLOAT8[encoding.format]).astype(np.float32)
    broken = np.flatnonzero(~np.isfinite(numbers))
    if np.isin(stored, broken.astype(np.uint8)).any():
        raise NoRoute(f"has weights in {encoding.format} that are infinite or no numbers")
    numbers[broken] = 0
    return np.asarray(numbers.reshape(1, -1, 1))


def _lut(tables: Array, palette: Palette, of: Type) -> Array:
    """MIL's tables: an axis for each of the tensor's, as long as there are tables along it, then entries and vector."""
    counts = [1] * of.rank
    if palette.axis is not None:
        tables = uniform(tables, 0, palette.group, of.dims[palette.axis])
        counts[palette.axis] = len(tables)
    return np.asarray(tables.reshape(*counts, *tables.shape[1:]))


def scales_of(e: Emission, encoding: Quant | Float8 | Scale, of: Type, key: str = "") -> Array:
    """Scales (or the constant of another key) as MIL has them: an axis for each of the tensor's."""
    numbers = e.graph.module.constants[key or encoding.scale]
    if encoding.axis is None:
        return np.asarray(numbers.reshape([1] * of.rank))
    if encoding.group:
        return uniform(numbers, encoding.axis, encoding.group, of.dims[encoding.axis])
    return np.asarray(numbers.reshape([-1 if i == encoding.axis else 1 for i in range(of.rank)]))


def uniform(numbers: Array, axis: int, group: int, length: int) -> Array:
    """Numbers of groups along an axis of which the last is shorter, repeated so that all groups are equal."""
    if length % group == 0 or numbers.shape[axis] == 1:
        return numbers
    step = int(np.gcd(group, length))
    return np.asarray(numbers.take(np.arange(0, length, step) // group, axis))


def _shifted(e: Emission, stored: Array, quant: Quant, of: Type, dtype: str) -> Var:
    if quant.format == "i4" or quant.group:
        e.note("weights of integers in blocks are reported to leave the Neural Engine: palettize stays there")
    return e.mil(
        "constexpr_blockwise_shift_scale",
        data=stored.astype(types.nptype_from_builtin(INTEGERS[quant.format])),
        scale=e.as_dtype(scales_of(e, quant, of), dtype),
        offset=_offset(e, quant, of, dtype),
    )


def _scaled(e: Emission, table: Var, scales: Array, dtype: str) -> Var:
    return e.mil("constexpr_blockwise_shift_scale", data=table, scale=e.as_dtype(scales, dtype))


def _offset(e: Emission, quant: Quant, of: Type, dtype: str) -> Array | None:
    """Zero points; of the data's type where they fit it, as they do but for four bits."""
    zero = scales_of(e, quant, of, quant.zero)
    if not np.any(zero):
        return None
    four = quant.format == "i4"
    if four and (zero.min() < -8 or zero.max() > 7):
        return e.as_dtype(zero.astype(np.float32), dtype)
    return zero.astype(types.nptype_from_builtin(INTEGERS[quant.format]))


def _sparse(e: Emission, stored: Array, mask: Array, of: Type, inner: list[Encoding], dtype: str) -> Var:
    if not mask.any():  # MIL has no empty tensors: the first number is there, and 0
        mask, stored, inner = np.arange(mask.size).reshape(mask.shape) == 0, np.zeros(of.dims, np.float32), []
    kept = stored[mask]
    if e.deployment.number < 18:
        return packed.sparse(e, e.as_dtype(kept, dtype), mask)
    bits = mask.astype(types.nptype_from_builtin(types.uint1))
    match inner:
        case [Quant() as quant]:
            bits, numbers = e.mil(
                "constexpr_sparse_blockwise_shift_scale",
                data_mask=bits,
                nonzero_data=kept.astype(types.nptype_from_builtin(INTEGERS[quant.format])),
                scale=e.as_dtype(scales_of(e, quant, of), dtype),
                offset=_offset(e, quant, of, dtype),
            )
        case [Palette() as palette]:
            bits, numbers = e.mil(
                "constexpr_lut_to_sparse",
                indices_mask=bits,
                indices_nonzero_data=kept.astype(types.nptype_from_builtin(BITS[palette.bits])),
                lut=e.as_dtype(_lut(table_of(e, palette), palette, of), dtype),
            )
        case _:
            numbers = e.as_dtype(kept, dtype)
    return e.mil("constexpr_sparse_to_dense", nonzero_data=numbers, mask=bits)


def fits_halves(e: Emission, value: Value, dtype: str) -> bool:
    """Whether a constant in halves is each of its numbers rounded once. NoRoute where one is beyond halves."""
    if dtype != "f16":
        return True
    constants, exact = e.graph.module.constants, True
    for encoding in value.type.encodings:
        if isinstance(encoding, Quant | Scale | Float8):
            exact = exact and are_halves(constants[encoding.scale])
        if isinstance(encoding, Palette) and len(value.type.encodings) > 1:
            exact = exact and (isinstance(value.type.encodings[0], Sparse) or are_halves(constants[encoding.table]))
    if _bound(e, value) > LARGEST_HALF:
        e.as_dtype(np.asarray(e.graph.array(value)), dtype)  # which tells whether one is
    return exact


def are_halves(numbers: Array) -> bool:
    with np.errstate(over="ignore"):
        return bool(np.array_equal(numbers.astype(np.float16).astype(np.float32), numbers.astype(np.float32)))


def _bound(e: Emission, value: Value) -> float:
    """What no number of the constant is larger than, without looking at each."""
    constants, bound = e.graph.module.constants, 1.0
    for encoding in value.type.encodings:
        match encoding:
            case Palette():
                bound *= float(np.abs(constants[encoding.table].astype(np.float32)).max())
            case Quant():
                bound *= 2 ** (8 if encoding.format != "i4" else 4) * float(np.abs(constants[encoding.scale]).max())
            case Float8():
                bound *= (448 if encoding.format == "e4m3" else 57344) * float(constants[encoding.scale].max())
            case Scale():
                bound *= float(np.abs(constants[encoding.scale]).max())
            case Sparse() if len(value.type.encodings) == 1:
                bound *= float(np.abs(e.graph.stored(value)).max())
    return bound


def _check_deployment(deployment: Deployment, of: Type) -> None:
    """NoRoute for a form that comes with a later iOS."""
    kinds = of.encodings
    inner = kinds[-1]
    needs = [(16, "compressed weights")]
    if isinstance(inner, Palette):
        needs += [(18, f"a palette of {inner.bits} bits")] if inner.bits == 3 else []
        needs += [(18, "palettes with a table for each group")] if inner.axis is not None else []
        needs += [(18, "palettes of vectors")] if inner.length > 1 else []
    if isinstance(inner, Quant):
        needs += [(18, "integers in blocks")] if inner.group else []
        needs += [(18, "integers of 4 bits")] if inner.format == "i4" else []
    if isinstance(kinds[0], Sparse) and len(kinds) > 1:
        needs += [(18, "sparse weights that are encoded as well")]
    if isinstance(kinds[0], Scale):
        needs += [(NESTED, "scales over a table (MXFP4, NF4)")]
    if isinstance(inner, Float8) and inner.axis is not None:
        needs += [(NESTED, "8-bit floats with a scale a channel that do not multiply, or one a group")]
    number, what = max(needs)
    if deployment.number < number:
        raise NoRoute(
            f"has {what} among its constants, which Core ML has from iOS {number} on, and this is for "
            f"{deployment.systems}: build with --target coreml:ios{number}"
        )
