"""Steps of a graph: operators whose results jump where an operand moves by its last bit, such as argmax, a comparison,
floor, or a cast to integers.

Sums in halves differ from the interpreter's by their order, and so may whatever a step makes of them, by any amount. As
with float islands, an artifact is therefore checked in two halves: what its own kernels hand to a step is as near to
the interpreter's as outputs must be, and from those very numbers on, the interpreter must come to the same results.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from edgec.ir.graph import Graph, Op, Value
from edgec.ir.ops import OPS
from edgec.ir.types import FLOATS
from edgec.paired import level_db, power_db, squares
from edgec.receipt import compare

Array = np.ndarray[Any, Any]
_WHOLE = ("ceil", "floor", "fmod", "mod", "round", "sign")  # steps whose results are floats
_ENCODERS = ("encode", "quantize", "quantize_rows", "to_float8")  # a byte may be a step off: edgec.islands


def is_step(op: Op) -> bool:
    if op.kind in _ENCODERS or any(v.type.encodings for v in op.results):
        return False
    reads = any(v is not None and v.type.dtype in FLOATS for v in op.inputs)
    return reads and (op.kind in _WHOLE or any(v.type.dtype not in FLOATS for v in op.results))


def step_operands(graph: Graph) -> list[Value]:
    """Floats that steps read and operators make, in order."""
    steps = (op for op in graph.ops if is_step(op))
    read = (v for op in steps for v in op.inputs if v is not None and v.op is not None and v.type.dtype in FLOATS)
    return [v for v in dict.fromkeys(read) if not v.type.encodings]


class Steps:
    """What the steps of one graph read and made, over all inputs. Operands must agree as floats do, or keep `least_db`
    over all inputs together."""

    def __init__(self, graph: Graph, operands: Sequence[Value], least_db: float) -> None:
        self._graph, self._least_db = graph, least_db
        self._squares = dict.fromkeys(operands, (0.0, 0.0))
        self._alike = dict.fromkeys(operands, True)
        self._steps = {op for op in graph.ops if any(v in self._squares for v in op.inputs) and is_step(op)}
        self._read = {v for op in self._steps for v in op.inputs if v is not None}
        self._meant: dict[Value, Array] = {}
        self._different = self._elements = 0

    def begin(self, feeds: Mapping[str, Array]) -> None:
        states = {s.input: self._graph.module.constants[s.initial] for s in self._graph.states}
        self._meant = {v: states[v] if v in states else feeds[v.name] for v in self._graph.inputs}

    def read(self, operand: Value, found: Array, meant: Array) -> None:
        """The artifact's and the interpreter's numbers of an operand."""
        noise, signal = squares(found, meant)
        before = self._squares[operand]
        self._squares[operand] = before[0] + noise, before[1] + signal
        self._alike[operand] &= compare(found, meant)["pass"]
        self._meant[operand] = meant

    def made(self, value: Value, array: Array) -> None:
        """Any other value; counts where a step's whole numbers are not what the interpreter's operands make."""
        if value in self._read:
            self._meant[value] = array
        op = value.op
        if op is None or op not in self._steps or (value.type.dtype in FLOATS and op.kind not in _WHOLE):
            return
        alone = OPS[op.kind].evaluate([self._operand(v) for v in op.inputs], op.attrs)[op.results.index(value)]
        both_nan = (alone != alone) & (array != array)
        self._different += int(np.count_nonzero((alone != array) & ~both_nan))
        self._elements += array.size

    def _operand(self, value: Value | None) -> Array | None:
        """As the interpreter has it by itself."""
        if value is None:
            return None
        return self._graph.array(value) if value.const is not None else self._meant[value]

    def facts(self) -> dict[str, Any]:
        """For the receipt, over all inputs so far."""
        levels = {v: power_db(*noise_and_signal) for v, noise_and_signal in self._squares.items()}
        return {"steps": len(self._steps), "elements": self._elements, "different": self._different,
                "least_signal_to_noise_db": level_db(min(levels.values())),
                "pass": all(self._alike[v] or level >= self._least_db for v, level in levels.items())}  # fmt: skip
