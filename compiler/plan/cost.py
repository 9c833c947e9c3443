"""What bytes cost on a device: cycles a byte in the level of memory that holds them.

The figures are relative: they decide where values live, not how long a network takes. A level is taken as full at three
quarters of its size, the rest being other operands' and the system's; just beyond the last level some lines still hit.
"""

from __future__ import annotations

from dataclasses import dataclass

# Sustained bytes a cycle of one core, of the order of a Cortex-A76 and of a server core alike.
L1_BYTES_A_CYCLE, L2_BYTES_A_CYCLE, EDGE_BYTES_A_CYCLE, FAR_BYTES_A_CYCLE = 32.0, 16.0, 8.0, 4.0


@dataclass(frozen=True)
class Memory:
    """Bytes of a core's own caches."""

    l1: int = 32 * 1024
    l2: int = 512 * 1024

    def cycles(self, working_set: int) -> float:
        """Cycles a byte of a working set of so many bytes."""
        if working_set <= self.l1 * 3 // 4:
            return 1 / L1_BYTES_A_CYCLE
        if working_set <= self.l2 * 3 // 4:
            return 1 / L2_BYTES_A_CYCLE
        if working_set <= self.l2 * 3 // 2:
            return 1 / EDGE_BYTES_A_CYCLE
        return 1 / FAR_BYTES_A_CYCLE
