"""Models that are quantised already: their own scales and zero points become encodings, their operators work on bytes.

A model is one of these where the importer left `quantize` or `dequantize` operators: activations whose scale is known.
Weights alone that are stored in few bits become floats.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np

from edgec.ir.graph import Graph, Module, Op, Value
from edgec.ir.macs import macs_of, total_macs
from edgec.ir.verify import verify_module
from edgec.passes import FUSED, QUANTISED
from edgec.passes.bound_weights import bound_weights, channels_axis
from edgec.passes.lower_requant import requantise
from edgec.passes.requant import REASONS
from edgec.pipeline import Effect, run_pipeline
from edgec.targets.c.devices import Device

PRECISION = "int8, the model's own"
_NAMING = ("encode", "quantize", "dequantize")


def is_quantised(graph: Graph) -> bool:
    return any(op.kind in ("quantize", "dequantize") for op in graph.ops)


def settle_quantised(module: Module, device: Device) -> tuple[dict[str, Effect], dict[str, Any]]:
    """Makes the imported module's graph one on bytes; what passes did, and what the receipt says of it."""
    (graph,) = module.entries.values()
    effects = run_pipeline(module, QUANTISED)
    given = {op: op.arg(1) for op in graph.ops if channels_axis(op) is not None}
    bound_weights(graph)
    rounded = sum(_channels_that_differ(graph, op, weights) for op, weights in given.items())
    macs = total_macs(graph)
    touched = [op for op in graph.ops if op.kind not in _NAMING and _encoded(op)]
    left = [op for op in graph.ops if op.kind not in _NAMING and op not in touched]
    refused = requantise(graph, device.isa.byte)
    verify_module(module, after="lower_requant")
    run_pipeline(module, FUSED)
    on_bytes = sum(macs_of(op) for op in graph.ops if op.kind in ("qconv", "qmatmul"))
    return effects, {
        "precision": PRECISION,
        "calibration": None,
        "operators_on_bytes": len(touched) - len(refused),
        "operators_in_floats": dict(sorted(Counter(op.kind for op in left).items())),
        "kept_in_floats": [],
        "refused": [{"op": op, "code": code, "why": REASONS[code]} for op, code in refused],
        "channels_rounded_again": rounded,
        "macs_on_bytes": on_bytes,
        "macs_share": round(on_bytes / macs, 4) if macs else 0.0,
        "layers": [],
    }


def _encoded(op: Op) -> bool:
    """Reads or makes an encoded value; constants are none."""
    return any(v is not None and v.const is None and v.type.encodings for v in (*op.inputs, *op.results))


def _channels_that_differ(graph: Graph, op: Op, before: Value) -> int:
    """Result channels whose weights are other numbers than before."""
    axis = channels_axis(op)
    assert axis is not None
    differ = np.moveaxis(graph.array(op.arg(1)) != graph.array(before), axis, 0)
    return int(differ.reshape(len(differ), -1).any(axis=1).sum())
