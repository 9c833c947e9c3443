"""Convolutions and pools."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from edgec.ir.graph import Op
from edgec.targets.coreml.emission import Emission, Route
from edgec.targets.coreml.mil import Var
from edgec.targets.coreml.routes.elementwise import activated


def mil_pads(pads: Any) -> list[int]:
    """ONNX's begins and then ends -> MIL's begin and end of each axis."""
    half = len(pads) // 2
    return [int(p) for pair in zip(pads[:half], pads[half:], strict=True) for p in pair]


def ints(values: Any) -> list[int]:
    items: Sequence[int] = values
    return [int(v) for v in items]


def _conv(e: Emission, op: Op) -> Var:
    assert op.attrs["layout"] == "nchw", op
    a = op.attrs
    y = e.mil(
        "conv",
        x=e.operand(op, 0),
        weight=e.operand(op, 1),
        bias=e.optional(op, 2),
        strides=ints(a["strides"]),
        pad_type="custom",
        pad=mil_pads(a["pads"]),
        dilations=ints(a["dilations"]),
        groups=a["groups"],
    )
    added = e.optional(op, 3)
    return activated(e, y if added is None else e.mil("add", x=y, y=added), str(a["act"]))


ROUTES: dict[str, Route] = {"conv": _conv}
