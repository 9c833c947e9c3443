"""The first operators' policy: bytes of the model's inputs may make most of the noise at its outputs.

An input that is no byte by nature loses to rounding what no later operator can bring back, and a first convolution that
looks for edges enlarges it. Where that is most of the noise, and the operators that read the inputs have a small share
of the multiply-adds, these stay in floats: the bytes begin behind them.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import numpy as np

from edgec.grids import Range, grid_of
from edgec.int8_trials import Judge
from edgec.ir.copying import copy_module
from edgec.ir.graph import Graph, Op, Value
from edgec.ir.macs import macs_of, total_macs
from edgec.ir.types import DTYPES, Type
from edgec.islands import computed
from edgec.quantize import heavy
from edgec.rounding_policy import Policy

MOST_MACS = 0.05  # of the model's, that may stay in floats for it
INPUT_ROUNDING = Policy(
    "INPUT_ROUNDING", "bytes of the model's input would make most of the noise at its outputs",
    least_noise=0.4,
)  # fmt: skip


def readers_of_inputs(graph: Graph, chosen: Collection[Op]) -> list[Op]:
    """Convolutions and matmuls on bytes whose operand is an input, perhaps in another layout; none where they are too
    large a share of the model."""
    found = [op for op in graph.ops if op in chosen and heavy(op) and not computed(op.arg(0))]
    few = sum(map(macs_of, found)) <= MOST_MACS * total_macs(graph)
    return found if few else []


def noise_of_inputs(graph: Graph, readers: Sequence[Op], ranges: Mapping[Value, Range], judge: Judge) -> float:
    """At the outputs, when nothing but the operands of `readers` is rounded to bytes; 0 without any."""
    if not readers:
        return 0.0
    module, twins = copy_module(graph.module)
    copied = module.entries[graph.name]
    for value in dict.fromkeys(op.arg(0) for op in readers):
        scale, zero = grid_of(*ranges[value], "u8")
        twin = twins[value]
        grid = [copied.constant(np.array(scale, np.float32)), copied.constant(np.array(zero, DTYPES["u8"]))]
        encode, decode = Op("quantize", [twin, *grid], {"axis": -1}), Op("dequantize", [], {"axis": -1, "to": "f32"})
        at = 0 if twin.op is None else copied.ops.index(twin.op) + 1
        (stored,) = copied.insert(at, encode, [Type("u8", value.type.shape)])
        decode.inputs = [stored, *grid]
        (rounded,) = copied.insert(at + 1, decode, [value.type])
        for op in copied.ops[at + 2 :]:
            op.inputs = [rounded if v is twin else v for v in op.inputs]
    return judge.noise(copied)
