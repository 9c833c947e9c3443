"""Which encodings a tensor may have, and what of."""

from __future__ import annotations

import numpy as np

from edgec.ir.encodings import FLOAT8, Array, Constants, grouped_dims
from edgec.ir.errors import IRError
from edgec.ir.types import Encoding, Float8, Palette, Quant, Scale, Sparse, Type, dtype_name

FORMATS = ("i4", "i8", "u8", "i16", "u16", "i32")
BITS = (1, 2, 3, 4, 6, 8)
# from the outermost to the innermost
CHAINS: tuple[tuple[type[Encoding], ...], ...] = (
    (Quant,),
    (Float8,),
    (Palette,),
    (Scale, Palette),
    (Sparse,),
    (Sparse, Quant),
    (Sparse, Palette),
)


def check_encodings(constants: Constants, of: Type, constant: bool) -> None:
    """IRError where a tensor of this type cannot be stored so. `constant`: it is a constant, not an operator's
    result."""
    if not of.encodings:
        return
    kinds = tuple(type(e) for e in of.encodings)
    legal = CHAINS if constant else ((Quant,), (Float8,))
    if kinds not in legal:
        chains = ", ".join(" ".join(k.__name__.lower() for k in chain) for chain in legal)
        what = "constant" if constant else "result"
        raise IRError(f"the {what} {of} is stored as {' '.join(k.__name__.lower() for k in kinds)}; legal: {chains}")
    real = ("f32", "f16", "bf16") if constant else ("f32",)
    if of.dtype not in real:
        raise IRError(f"the {'constant' if constant else 'result'} {of} is encoded; legal: {', '.join(real)}")
    for encoding in of.encodings:
        if encoding.axis is not None and not 0 <= encoding.axis < of.rank:
            raise IRError(f"an encoding of {of} lies along axis {encoding.axis}")
        if isinstance(encoding, Sparse):
            _constant(constants, encoding.mask, "mask", ("bool",), of.dims, of)
        elif isinstance(encoding, Palette):
            _palette(constants, encoding, of, of.encodings)
        else:
            _scaled(constants, encoding, of)


def check_stored(constants: Constants, stored: Array, of: Type) -> None:
    """IRError for numbers that a constant with these encodings cannot be stored as."""
    inner = of.encodings[-1]
    if isinstance(inner, Palette) and stored.size and int(stored.max()) >> inner.bits:
        raise IRError(f"{of} is stored as the index {int(stored.max())} of {inner.bits} bits")
    if isinstance(inner, Quant) and inner.format == "i4" and stored.size and (stored.min() < -8 or stored.max() > 7):
        raise IRError(f"{of} is stored in i4 and has numbers beyond -8 and 7")
    outer = of.encodings[0]
    if isinstance(outer, Sparse) and np.any(stored[~constants[outer.mask]]):
        raise IRError(f"{of} is sparse, and numbers other than 0 are stored outside its mask")


def _scaled(constants: Constants, encoding: Quant | Float8 | Scale, of: Type) -> None:
    axis = encoding.axis
    group = encoding.group
    if group < 0 or (group and axis is None):
        raise IRError(f"an encoding of {of} has groups of {group} along axis {axis}")
    shape = () if axis is None else grouped_dims(of.dims, axis, group) if group else (of.dims[axis],)
    if isinstance(encoding, Quant):
        if encoding.format not in FORMATS:
            raise IRError(f"{of} is encoded in {encoding.format}; legal: {', '.join(FORMATS)}")
    elif isinstance(encoding, Float8) and encoding.format not in FLOAT8:
        raise IRError(f"there is no 8-bit float {encoding.format}; legal: {', '.join(FLOAT8)}")
    scale = _constant(constants, encoding.scale, "scale", ("f32",), shape, of)
    if isinstance(encoding, Quant):
        _constant(constants, encoding.zero, "zero", (encoding.stored,), shape, of)
    # what others made of weights has groups of negative scales
    if not np.all(np.isfinite(scale)) or not np.all(scale != 0 if group else scale > 0):
        raise IRError(f"a scale of an encoding of {of} is not a positive number")


def _palette(constants: Constants, palette: Palette, of: Type, chain: tuple[Encoding, ...]) -> None:
    if palette.bits not in BITS:
        raise IRError(f"{of} has a palette of {palette.bits} bits; legal: {', '.join(map(str, BITS))}")
    grouped = palette.axis is not None
    if palette.group < 0 or (palette.group > 0) != grouped:
        raise IRError(f"a palette of {of} has groups of {palette.group} along axis {palette.axis}")
    if palette.length < 1 or (palette.length > 1 and not 0 <= palette.along < of.rank):
        raise IRError(f"a palette of {of} has vectors of {palette.length} along axis {palette.along}")
    if palette.length > 1:
        if of.dims[palette.along] % palette.length:
            raise IRError(f"a palette of {of} has vectors of {palette.length}, which do not fill axis {palette.along}")
        if palette.axis == palette.along and palette.group % palette.length:
            raise IRError(f"a palette of {of} has groups of {palette.group}, which cut vectors of {palette.length}")
        if isinstance(chain[0], Sparse):
            raise IRError(f"{of} is sparse, and its palette has vectors; legal are single numbers")
    tables = -(-of.dims[palette.axis] // palette.group) if palette.axis is not None else 1
    table = _constant(
        constants, palette.table, "table", ("f32", "i8"), (tables, 1 << palette.bits, palette.length), of
    )
    if not np.all(np.isfinite(table.astype(np.float32))):
        raise IRError(f"a table of a palette of {of} has numbers that are not finite")


def _constant(
    constants: Constants, key: str, what: str, dtypes: tuple[str, ...], shape: tuple[int, ...], of: Type
) -> Array:
    array = constants.get(key)
    if array is None or dtype_name(array.dtype) not in dtypes or array.shape != shape:
        raise IRError(f"the {what} of an encoding of {of} must be a constant {' or '.join(dtypes)}{list(shape)}")
    return array
