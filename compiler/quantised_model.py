"""Models that are quantised already: their own scales and zero points become encodings, their operators work on bytes.

A model is one of these where the importer left `quantize` or `dequantize` operators. Weights alone that are stored in
few bits are left to own_codes.py. Scales that are found at run time (DynamicQuantizeLinear) stay floats between
products of bytes.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

from edgec.ir.graph import Graph, Module, Op, Value
from edgec.ir.macs import macs_of, macs_on_bytes, macs_share, total_macs
from edgec.ir.types import FLOATS
from edgec.ir.verify import verify_module
from edgec.own_codes import bytes_of_codes, count_bytes, keep_codes
from edgec.passes import CPU_FLOAT, FUSED, QUANTISED
from edgec.passes.bound_weights import bound_weights, channels_axis
from edgec.passes.lower_requant import requantise
from edgec.passes.requant import REASONS
from edgec.pipeline import Effect, run_pipeline
from edgec.targets.c.devices import Device

PRECISION = "int8, the model's own"
WIDE = "16 bits, the model's own"  # products are those of floats
DYNAMIC = "int8, dynamic, the model's own"
_NAMING = ("encode", "quantize", "dequantize")


def is_quantised(graph: Graph) -> bool:
    return any(op.kind in ("quantize", "dequantize") for op in graph.ops)


def own_precision(graph: Graph) -> str:
    """What the receipt calls the numbers of a model that is one of these, as it was imported."""
    named = [op for op in graph.ops if op.kind in ("quantize", "dequantize")]
    if not any(op.arg(1).const is not None and op.arg(2).const is not None for op in named):
        return DYNAMIC
    return WIDE if all(op.arg(2).type.dtype in ("i16", "u16") for op in named) else PRECISION


def settle_quantised(module: Module, device: Device) -> tuple[dict[str, Effect], dict[str, Any]]:
    """Makes the imported module's graph one for the target; what passes did, and what the receipt says of it."""
    (graph,) = module.entries.values()
    count_bytes(module)
    precision = own_precision(graph)
    if precision == DYNAMIC:
        return _by_scales_at_run_time(module, graph, device)
    return _by_known_scales(module, graph, device, precision)


def _by_scales_at_run_time(
    module: Module, graph: Graph, device: Device
) -> tuple[dict[str, Effect], dict[str, Any]]:
    """Products with constant weights are made of bytes; the rest is what the operators say."""
    effects = run_pipeline(module, CPU_FLOAT)
    macs = total_macs(graph)
    run_pipeline(module, (f"lower_integer_matmul{{byte={device.isa.byte}}}", "remove_dead_code"))
    left = Counter(op.kind for op in graph.ops if op.kind in ("conv", "matmul"))
    products = sum(macs_on_bytes(op) > 0 for op in graph.ops)
    return effects, {**_facts(graph, DYNAMIC, macs), "operators_on_bytes": products,
                     "operators_in_floats": {}, "operators_in_plain_integers": dict(sorted(left.items())),
                     **_coded(module)}  # fmt: skip


def _by_known_scales(
    module: Module, graph: Graph, device: Device, precision: str
) -> tuple[dict[str, Effect], dict[str, Any]]:
    """All between them works on bytes."""
    effects = run_pipeline(module, QUANTISED)
    bytes_of_codes(module)
    given = {op: op.arg(1) for op in graph.ops if channels_axis(op) is not None}
    bound_weights(graph)
    rounded = sum(_channels_that_differ(graph, op, weights) for op, weights in given.items())
    macs = total_macs(graph)
    touched = [op for op in graph.ops if op.kind not in _NAMING and _encoded(op)]
    left = [op for op in graph.ops if op.kind not in _NAMING and op not in touched]
    floats = [op for op in left if any(v.type.dtype in FLOATS for v in (*op.results, *op.inputs) if v is not None)]
    refused = requantise(graph, device.isa.byte)
    verify_module(module, after="lower_requant")
    run_pipeline(module, (f"lower_integer_matmul{{byte={device.isa.byte}}}", *FUSED))
    return effects, {
        **_facts(graph, precision, macs),
        "operators_on_bytes": len(touched) - len(refused),
        "operators_in_floats": dict(sorted(Counter(op.kind for op in floats).items())),
        "operators_in_plain_integers": dict(sorted(Counter(op.kind for op in left if op not in floats).items())),
        "refused": [{"op": op, "code": code, "why": REASONS[code]} for op, code in refused],
        "channels_rounded_again": rounded,
        **_coded(module),
    }


def _coded(module: Module) -> dict[str, Any]:
    """What the receipt says of weights of few bits that meet floats, and are codes."""
    found = keep_codes(module) if module.narrow else {}
    return {"coded": found} if found.get("coded_operators") or found.get("tables") else {}


def _facts(graph: Graph, precision: str, macs: int) -> dict[str, Any]:
    """What the receipt says of any graph with products of bytes; `macs` are the model's, and those of weights that are
    sums of bytes count once."""
    on_bytes = macs - sum(macs_of(op) - macs_on_bytes(op) for op in graph.ops)
    share = macs_share(on_bytes, macs)
    return {"precision": precision, "calibration": None, "refused": [], "kept_in_floats": [], "layers": [],
            "macs_on_bytes": on_bytes, "macs_share": share}  # fmt: skip


def _encoded(op: Op) -> bool:
    """Reads or makes an encoded value; constants are none."""
    return any(v is not None and v.const is None and v.type.encodings for v in (*op.inputs, *op.results))


def _channels_that_differ(graph: Graph, op: Op, before: Value) -> int:
    """Result channels whose weights are other numbers than before."""
    axis = channels_axis(op)
    assert axis is not None
    differ = graph.array(op.arg(1)) != graph.array(before)
    return int(differ.any(axis=tuple(i for i in range(differ.ndim) if i != axis)).sum())
