"""Convolutions and pools."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from edgec.ir.graph import Op
from edgec.targets.coreml.channel_scale import scaled, weights
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
    weight, scale = weights(e, op, 0)
    bias = e.optional(op, 2)
    y = e.mil(
        "conv",
        x=e.operand(op, 0),
        weight=weight,
        bias=bias if scale is None else None,
        strides=ints(a["strides"]),
        pad_type="custom",
        pad=mil_pads(a["pads"]),
        dilations=ints(a["dilations"]),
        groups=a["groups"],
    )
    if scale is not None:
        y = scaled(e, y, scale, op.result.type.rank - 2)
        if bias is not None:
            y = e.mil("add", x=y, y=e.mil("expand_dims", x=bias, axes=list(range(1, op.result.type.rank - 1))))
    added = e.optional(op, 3)
    return activated(e, y if added is None else e.mil("add", x=y, y=added), str(a["act"]))


ROUTES: dict[str, Route] = {"conv": _conv}
