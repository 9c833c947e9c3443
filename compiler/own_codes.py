"""Models whose weights are stored in few bits (MatMulNBits, constants of int4): they stay codes where kernels can.

The importer makes floats of such constants, and passes move and transpose those. Afterwards the codes are found again:
where each 32 products of a channel are one float times numbers of 4 bits, with or without a zero point, or of 8, the
weights are encoded so. What codes stand for is every float, bit by bit, so that the artifact computes what the float
model does.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from edgec.encode_weights import encodable, form_for, products_axis
from edgec.ir.graph import Graph, Module, Op
from edgec.ir.macs import macs_of, macs_share, total_macs
from edgec.ir.ops.integer import GROUP
from edgec.ir.types import Quant, Type
from edgec.ir.verify import verify_module
from edgec.passes.exact_codes import KINDS, codes_of
from edgec.weight_only import MULTIPLIED

Array = np.ndarray[Any, Any]
PRECISION = "few bits, the model's own"
REASONS = {
    "NO_CODED_KERNEL": "kernels of this operator read weights in floats",
    "FEW_PRODUCTS": "scales would be as large as what they save",
    "NO_CODES": "a group of 32 products has several scales, or its weights were multiplied by something since",
}


def keep_codes(module: Module) -> dict[str, Any]:
    """Encodes the weights of the module's graph, which stands behind all passes; what the receipt says of it."""
    (graph,) = module.entries.values()
    kept: list[tuple[Op, str]] = []
    refused = []
    for op in graph.ops:
        if op.kind in MULTIPLIED and op.arg(1).const is not None:
            found = _encode(graph, op)
            if found in REASONS:
                refused.append({"op": op.label, "code": found, "why": REASONS[found]})
            else:
                kept.append((op, found))
    verify_module(module, after="the search for codes")
    return {
        "precision": PRECISION,
        "calibration": None,
        "rounding": "none",
        "low_rank": 0,
        "numbers_in_the_model": dict(sorted(module.narrow.items())),
        "coded_operators": len(kept),
        "coded_macs_share": macs_share(sum(macs_of(op) for op, _ in kept), total_macs(graph)),
        "weights_in_floats": [row["op"] for row in refused],
        "refused": refused,
        "weights": [{"op": op.label, "format": format, "signal_to_noise_db": None} for op, format in kept],
    }


def _encode(graph: Graph, op: Op) -> str:
    """The format that the weights got, or a code of REASONS."""
    if not encodable(op):
        return "NO_CODED_KERNEL"
    if form_for(op, "i4") != "i4":
        return "FEW_PRODUCTS"
    value, axis = op.arg(1), products_axis(op)
    moved = np.moveaxis(graph.array(value), axis, -1)
    length = moved.shape[-1]
    padded = np.pad(moved, [(0, 0)] * (moved.ndim - 1) + [(0, -length % GROUP)])
    groups = padded.reshape(-1, GROUP)
    for kind in KINDS:
        found = codes_of(groups, kind)
        if found is not None:
            codes, scale, zero = (v.reshape(*moved.shape[:-1], -1) for v in found)
            stored, scales, zeros = (
                np.ascontiguousarray(np.moveaxis(v, -1, axis)) for v in (codes[..., :length], scale, zero)
            )
            encoding = Quant(kind.format, graph.module.intern(scales), graph.module.intern(zeros), axis, GROUP)
            op.inputs[1] = graph.encoded(stored, Type("f32", value.type.shape, (encoding,)), value.name)
            return kind.format
    return "NO_CODES"
