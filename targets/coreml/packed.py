"""The constexpr operators of iOS 16 and 17, whose indices and masks are packed into bytes, the lowest bits first."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from edgec.ir.types import Quant
from edgec.targets.coreml.mil import Var

if TYPE_CHECKING:
    from edgec.targets.coreml.emission import Emission

Array = np.ndarray[Any, Any]


def looked_up(e: Emission, indices: Array, bits: int, table: Array) -> Var:
    """Numbers of one table."""
    each = np.unpackbits(indices.reshape(-1, 1), axis=1, count=bits, bitorder="little")
    return e.mil(
        "constexpr_lut_to_dense",
        indices=np.packbits(each, bitorder="little"),
        lut=table,
        shape=np.array(indices.shape, np.uint32),
    )


def sparse(e: Emission, kept: Array, mask: Array) -> Var:
    return e.mil(
        "constexpr_sparse_to_dense",
        nonzero_data=kept,
        mask=np.packbits(mask.reshape(-1), bitorder="little"),
        shape=np.array(mask.shape, np.uint32),
    )


def affine(e: Emission, stored: Array, quant: Quant, dtype: str) -> Var:
    constants = e.graph.module.constants
    return e.mil(
        "constexpr_affine_dequantize",
        quantized_data=stored,
        zero_point=constants[quant.zero][()],
        scale=e.as_dtype(constants[quant.scale], dtype),
        axis=np.int32(quant.axis or 0),
    )
