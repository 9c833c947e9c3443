"""`--precision w8` and `w4`: weights of bytes or of four bits in groups, everything else float32.

Weights are decoded in registers, so that nothing but their bytes changes: the graph means what floats with the rounded
weights mean. w4 with calibration data rounds by what the weights are multiplied with.
"""

from __future__ import annotations

from typing import Any

from edgec.calibration import Calibration
from edgec.encode_weights import encodable, encode_weights, form_for, met_by
from edgec.ir.graph import Module
from edgec.ir.macs import macs_of, macs_share, total_macs
from edgec.ir.ops.recurrent import GATES
from edgec.ir.verify import verify_module

WEIGHT_ONLY = {"w8": "i8", "w4": "i4"}
MULTIPLIED = ("conv", "conv_transpose", "matmul", *GATES)


def weight_only(module: Module, precision: str, data: Calibration | None, rank: int = 0) -> dict[str, Any]:
    """Encodes the weights of the module's graph; what the receipt says of it. The graph stands behind all passes."""
    (graph,) = module.entries.values()
    wanted = WEIGHT_ONLY[precision]
    chosen = [op for op in graph.ops if encodable(op)]
    layers = {}
    if data is not None:
        rounded = [op for op in chosen if form_for(op, wanted) == "i4"]
        for op, met in met_by(graph, rounded, data.samples):
            layers[op] = encode_weights(graph, op, wanted, met, rank=rank)
    for op in chosen:
        if op not in layers:
            layers[op] = encode_weights(graph, op, wanted, rank=rank)
    verify_module(module, after="the choice of encodings")
    left = [op for op in graph.ops if op.kind in MULTIPLIED and op not in layers and op.arg(1).const is not None]
    return {
        "precision": precision,
        "calibration": data.facts() if data is not None else None,
        "rounding": "gptq" if data is not None and wanted == "i4" else "nearest",
        "low_rank": rank,
        "coded_operators": len(layers),
        "coded_macs_share": macs_share(sum(macs_of(op) for op in layers), total_macs(graph)),
        "weights_in_floats": [op.label for op in left],
        "weights": [layers[op] for op in chosen],
    }
