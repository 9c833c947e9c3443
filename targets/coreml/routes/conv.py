"""Convolutions and transposed convolutions over one to three axes."""

from __future__ import annotations

from typing import Any

import numpy as np

from edgec.ir.graph import Op
from edgec.targets.coreml.channel_scale import scaled, weights
from edgec.targets.coreml.emission import Emission, NoRoute, Route, dtype_of
from edgec.targets.coreml.mil import Var, is_constant
from edgec.targets.coreml.routes.activation import activated
from edgec.targets.coreml.routes.attributes import ints, mil_pads
from edgec.targets.coreml.routes.windows import cropped, cut, padded


def _conv(e: Emission, op: Op) -> Var:
    a: Any = op.attrs
    assert a["layout"] == "nchw", op
    if a["to"]:
        raise NoRoute("multiplies bf16 or 8-bit floats, which Core ML does not")
    x, pads = cropped(e, e.operand(op, 0), ints(a["pads"]))
    weight, scale = weights(e, op, 0)
    dilations = ints(a["dilations"])
    if not is_constant(weight) and max(dilations) > 1:
        weight, dilations = _spread(e, weight, dilations), [1] * len(dilations)
    bias, later = _bias(e, op)
    if scale is not None and bias is not None:
        bias, later = None, _along_channels(e, bias, op)
    y = e.mil(
        "conv", x=x, weight=weight, bias=bias, strides=ints(a["strides"]), pad_type="custom", pad=mil_pads(pads),
        dilations=dilations, groups=a["groups"],
    )  # fmt: skip
    y = scaled(e, y, scale, op.result.type.rank - 2)
    for term in (later, e.optional(op, 3)):
        y = y if term is None else e.mil("add", x=y, y=term)
    return activated(e, y, a["act"])


def _bias(e: Emission, op: Op) -> tuple[Var | None, Var | None]:
    """A bias for the operator, or one that is added behind it: up to iOS 16 only constants are taken."""
    bias = e.optional(op, 2)
    if bias is None or op.arg(2).const is not None or e.deployment.number >= 17:
        return bias, None
    return None, _along_channels(e, bias, op)


def _along_channels(e: Emission, bias: Var, op: Op) -> Var:
    return e.mil("reshape", x=bias, shape=[1, -1] + [1] * (op.result.type.rank - 2))


def _spread(e: Emission, weight: Var, dilations: list[int]) -> Var:
    """Weights that are not constant with zeros between their taps: MIL dilates only constants."""
    for axis, step in enumerate(dilations, 2):
        sizes = [int(d) for d in weight.shape]
        before, taps, after = int(np.prod(sizes[:axis])), sizes[axis], int(np.prod(sizes[axis + 1 :]))
        if step == 1 or taps == 1:
            continue
        alone = e.mil("reshape", x=weight, shape=[before, taps, 1, after])
        zeros = e.const(np.zeros((before, taps, step - 1, after)), dtype_of(weight))
        apart = e.mil("concat", values=[alone, zeros], axis=2)
        long = (taps - 1) * step + 1
        rows = cut(e, e.mil("reshape", x=apart, shape=[before, taps * step, after]), [0, 0], [long, after], [1, 1])
        weight = e.mil("reshape", x=rows, shape=[*sizes[:axis], long, *sizes[axis + 1 :]])
    return weight


def _conv_transpose(e: Emission, op: Op) -> Var:
    """The whole result, of which padding and `output_padding` leave a part: MIL's `output_shape` does not say which,
    and is reported to depend on the device (apple/coremltools#2281; #2324, with pads that differ). Behind the last
    element that an input reaches there are zeros."""
    a: Any = op.attrs
    assert a["layout"] == "nchw", op
    if op.arg(1).const is None and e.deployment.number < 17:
        raise NoRoute(f"has weights that are not constant, which Core ML takes from iOS 17 on, not {e.deployment.name}")
    bias, later = _bias(e, op)
    pads, more, out = ints(a["pads"]), ints(a["output_padding"]), op.result.type.dims[2:]
    spatial, kernel = op.arg(0).type.dims[2:], op.arg(1).type.dims[2:]
    r = len(spatial)
    full = [
        (n - 1) * s + (k - 1) * d + 1
        for n, k, s, d in zip(spatial, kernel, a["strides"], a["dilations"], strict=True)
    ]
    tail = [max(0, pads[i] + out[i] - full[i]) for i in range(r)]
    weight, scale = weights(e, op, 1)
    if (any(tail) or scale is not None) and bias is not None:
        bias, later = None, _along_channels(e, bias, op)
    plain = not any(more) and min(pads) >= 0 and pads[:r] == pads[r:]
    y = e.mil(
        "conv_transpose", x=e.operand(op, 0), weight=weight, bias=bias, strides=ints(a["strides"]),
        pad_type="custom" if plain else "valid", pad=mil_pads(pads) if plain else None,
        dilations=ints(a["dilations"]), groups=a["groups"],
    )  # fmt: skip
    y = scaled(e, y, None if scale is None else np.tile(scale, a["groups"]), r)
    if not plain:
        y = padded(e, y, [max(0, -p) for p in pads[:r]] + tail, 0.0)
        y = cut(e, y, [max(0, p) for p in pads[:r]], out, [1] * r)
    return activated(e, y if later is None else e.mil("add", x=y, y=later), a["act"])


ROUTES: dict[str, Route] = {"conv": _conv, "conv_transpose": _conv_transpose}
