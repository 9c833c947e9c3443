"""`--precision int8-dynamic`: matmuls by constant weights on bytes, with scales that each row finds at run time; so is
what the input adds to the gates of recurrent operators."""

from __future__ import annotations

from collections import Counter
from typing import Any

from edgec.ir.graph import Module
from edgec.ir.macs import macs_of, macs_share, total_macs
from edgec.ir.verify import verify_module
from edgec.passes.quantize_matmuls import quantize_matmuls
from edgec.targets.c.devices import Device


def dynamic_int8(module: Module, device: Device) -> dict[str, Any]:
    """Changes the module's graph, which stands behind all passes; what the receipt says of it. No data is needed."""
    (graph,) = module.entries.values()
    macs = total_macs(graph)
    quantize_matmuls(graph, device.isa.byte)
    verify_module(module, after="quantize_matmuls")
    on_bytes = [op for op in graph.ops if op.kind == "qmatmul"]
    return {
        "precision": "int8-dynamic",
        "calibration": None,
        "operators_on_bytes": len(on_bytes),
        "multiply_adds_in_floats": dict(sorted(Counter(op.kind for op in graph.ops if op.kind != "qmatmul" and
                                                       macs_of(op)).items())),
        "macs_share": macs_share(sum(macs_of(op) for op in on_bytes), macs),
    }  # fmt: skip
