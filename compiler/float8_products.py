"""`--precision fp8-*` on cores that multiply 8-bit floats: products read codes, and what the receipt says of it."""

from __future__ import annotations

from typing import Any

from edgec.ir.graph import Module, Op
from edgec.ir.macs import macs_of, macs_share, total_macs
from edgec.ir.verify import verify_module
from edgec.passes.multiply_float8 import multiply_float8
from edgec.targets.c.devices import Device
from edgec.targets.c.lower.conv import conv_has_rows
from edgec.targets.c.lower.matmul_rows import matmul_has_rows

NOT_EXECUTED = "FP8_NOT_EXECUTED"
WHY = (
    "NOT VERIFIED: no emulator has the products of 8-bit floats that this code uses; tested are the same kernels in C "
    "with a model of the instruction, and that the instruction is in the object code"
)


def float8_products(module: Module, device: Device) -> dict[str, Any]:
    """Makes products of the module's graph read codes where the device multiplies them; nothing where it does not."""
    if not device.isa.float8_products:
        return {}
    (graph,) = module.entries.values()
    multiply_float8(graph, lambda op: conv_has_rows(op) if op.kind == "conv" else matmul_has_rows(op))
    verify_module(module, after="multiply_float8")
    made = [op for op in graph.ops if reads_codes(op)]
    return {
        "arithmetic": "fp8" if made else "float32",
        "code": NOT_EXECUTED if made else None,
        "why": WHY if made else None,
        "macs_on_codes": macs_share(sum(map(macs_of, made)), total_macs(graph)),
    }


def reads_codes(op: Op) -> bool:
    return op.kind in ("conv", "matmul") and bool(op.attrs["format"])
