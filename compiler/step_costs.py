"""What each step of a Plan costs, modelled from its sizes alone: multiply-adds, bytes, and which of the two decides.

The model, whose bytes are those of the schedule (plan/cost.py): a core does one vector register of multiply-adds a
cycle, and the bytes of a step come from the level of memory that holds them all. A step is under the waterline when
its bytes take longer than its multiply-adds: faster arithmetic would not make it faster. Other arithmetic (exp,
comparisons, Winograd's transforms) is not counted; a buffer that is read in part counts whole, and one that a step adds
to counts as written. Cycles so modelled rank steps; they are no measurement.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from edgec.plan.plan import Block, Buffer, Call, Plan, Struct
from edgec.targets.c.devices import Device
from edgec.targets.c.element import lanes_of

MODEL = "one vector of multiply-adds a cycle; bytes from the level of memory that holds those of the step"


@dataclass(frozen=True)
class StepCost:
    """`macs` are the model's multiply-adds, `executed` those that remain (Winograd does fewer); `bytes` are those of
    every buffer read and every buffer written, once each; what a block keeps in rings is not among them."""

    macs: int
    executed: int
    bytes: int
    arithmetic_cycles: float
    memory_cycles: float

    @property
    def cycles(self) -> float:
        return max(self.arithmetic_cycles, self.memory_cycles)

    @property
    def attainable(self) -> float:
        """The part of a core's multiply-adds a cycle that the bytes leave it; 0 for a step without any."""
        return self.arithmetic_cycles / self.cycles if self.executed else 0.0

    @property
    def under_waterline(self) -> bool:
        return bool(self.executed) and self.memory_cycles > self.arithmetic_cycles


def step_costs(plan: Plan, device: Device) -> list[StepCost]:
    """One a step, in order."""
    own = private_buffers(plan)
    made: set[Buffer] = set()
    costs = []
    for step in plan.steps:
        written = {p.buffer for p in step.pointers() if p.write} - own
        read = {p.buffer for p in step.pointers() if not p.write} - own
        read -= written - made  # what the step makes itself it need not fetch
        moved = sum(b.nbytes for b in read) + sum(b.nbytes for b in written)
        times, calls = (step.images, step.calls) if isinstance(step, Block) else (1, [step])
        executed = times * sum(map(_executed, calls))
        cycles = times * sum(_executed(call) / lanes_of(call.header, device.isa) for call in calls)
        costs.append(StepCost(step.macs, executed, moved, cycles, moved * device.memory.cycles(moved)))
        made |= written
    return costs


def private_buffers(plan: Plan) -> set[Buffer]:
    """Scratch that only one step mentions: rings, and room to work in."""
    mentions: dict[Buffer, set[int]] = {}
    for i, step in enumerate(plan.steps):
        for pointer in step.pointers():
            if pointer.buffer.space == "scratch":
                mentions.setdefault(pointer.buffer, set()).add(i)
    return {buffer for buffer, steps in mentions.items() if len(steps) == 1}


def winograd_macs(call: Call) -> int | None:
    """Multiply-adds of a Winograd convolution's products: (m + 2)^2 a tile of m x m results; None for other calls."""
    if call.function not in ("edgec_winograd", "edgec_hwinograd"):
        return None
    sizes: dict[str, Any] = {name: value for a in call.args if isinstance(a, Struct) for name, value in a.fields}
    oh, ow, c, oc, m = (int(sizes[name]) for name in ("oh", "ow", "c", "oc", "m"))
    return -(-oh // m) * -(-ow // m) * (m + 2) ** 2 * c * oc


def _executed(call: Call) -> int:
    fewer = winograd_macs(call)
    return call.macs if fewer is None else fewer
