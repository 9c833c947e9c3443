"""Why operators stay in floats that have a form on bytes: their rounding makes too much of the noise at the outputs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from edgec.ir.graph import Op


@dataclass(frozen=True)
class Policy:
    """`least_noise` is the share of all noise at the outputs that bytes must make for operators to stay in floats."""

    code: str
    why: str
    least_noise: float

    def facts(self, op: Op, share: float) -> dict[str, Any]:
        """For the receipt's `kept_in_floats`."""
        return {"op": op.label, "code": self.code, "why": self.why, "share_of_noise": round(share, 3)}
