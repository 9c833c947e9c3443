"""Convolutions, by BLAS: windows as columns, or tap by tap for one channel a group."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from edgec.runtime.coreml.call import Call, Unsupported, room, wide
from edgec.runtime.coreml.ops_activation import channels
from edgec.runtime.coreml.windows import padding, per_axis, windows
from edgec.runtime.coreml.wire import Array

COLUMNS = 1 << 25  # elements of columns made at once: 128 MB


def _conv(call: Call) -> Array:
    return _convolved(call, call.real("weight"))


def _conv_quantized(call: Call) -> Array:
    """Weights are bytes: w * quant_scale + quant_bias, one of each for all or for an output channel."""
    if call.text("quantization_type") != "linear" or call.integer("nbits", 8) != 8:
        raise Unsupported("conv_quantized is known here with 'linear' weights of 8 bits only")
    weight = call.array("weight").astype(np.float32)
    shape = [-1] + [1] * (weight.ndim - 1)
    return _convolved(call, weight * call.real("quant_scale").reshape(shape) + call.real("quant_bias").reshape(shape))


def _convolved(call: Call, weight: Array) -> Array:
    x = call.real("x")
    spatial = x.ndim - 2
    if not 1 <= spatial <= 3 or weight.ndim != x.ndim:
        raise ValueError(f"x has rank {x.ndim} and weight {weight.ndim}; both must have the same, 3 to 5")
    strides, dilations = per_axis(call, "strides", spatial), per_axis(call, "dilations", spatial)
    groups = call.integer("groups", 1)
    kernel = weight.shape[2:]
    if groups < 1 or x.shape[1] != weight.shape[1] * groups or weight.shape[0] % groups:
        raise ValueError(f"weight {list(weight.shape)} in {groups} groups does not fit the {x.shape[1]} channels of x")
    extents = [(k - 1) * d + 1 for k, d in zip(kernel, dilations, strict=True)]
    pads = padding(call, x.shape[2:], extents, strides)
    room([a + p + q for a, (p, q) in zip(x.shape, [(0, 0), (0, 0), *pads], strict=True)])
    padded = np.pad(x, [(0, 0), (0, 0), *pads]) if any(p or q for p, q in pads) else x
    y = convolve(padded, weight, strides, dilations, groups)
    return y + channels(call.real("bias"), y) if call.has("bias") else y


def convolve(x: Array, weight: Array, strides: Sequence[int], dilations: Sequence[int], groups: int) -> Array:
    """x [n, C, *spatial], padded, with weight [O, C/groups, *kernel]: [n, O, *out] in float32."""
    view = windows(x, weight.shape[2:], strides, dilations)
    spatial = x.ndim - 2
    out = view.shape[2 : 2 + spatial]
    n, outputs = x.shape[0], weight.shape[0]
    if weight.shape[1] == 1 and groups == outputs:
        y = np.zeros(room([n, outputs, *out]), np.float32)
        for tap in np.ndindex(*weight.shape[2:]):
            y += view[(slice(None),) * (2 + spatial) + tap] * channels(weight[(slice(None), 0, *tap)], y)
        return y
    matrices = weight.reshape(groups, outputs // groups, -1)
    y = np.empty(room([n, groups, outputs // groups, *out]), np.float32)
    rows = max(1, COLUMNS // max(1, n * matrices.shape[2] * groups * math.prod(out[1:])))
    order = (0, 1, 2, *range(3 + spatial, 3 + 2 * spatial), *range(3, 3 + spatial))
    for begin in range(0, out[0], rows):
        part = view[:, :, begin : begin + rows]
        shaped = part.reshape(n, groups, -1, *part.shape[2:]).transpose(order)
        columns = shaped.reshape(n, groups, matrices.shape[2], -1)
        made = np.matmul(matrices, columns).reshape(n, groups, outputs // groups, *part.shape[2 : 2 + spatial])
        y[:, :, :, begin : begin + rows] = made
    return y.reshape(n, outputs, *out)


def _conv_transpose(call: Call) -> Array:
    """Every input element adds its multiple of the kernel to the output; padding is what is cut off."""
    x, weight = call.real("x"), call.real("weight")
    spatial = x.ndim - 2
    if not 1 <= spatial <= 3 or weight.ndim != x.ndim:
        raise ValueError(f"x has rank {x.ndim} and weight {weight.ndim}; both must have the same, 3 to 5")
    strides, dilations = per_axis(call, "strides", spatial), per_axis(call, "dilations", spatial)
    groups = call.integer("groups", 1)
    n, inputs = x.shape[:2]
    kernel = weight.shape[2:]
    if groups < 1 or inputs != weight.shape[0] or inputs % groups:
        raise ValueError(f"weight {list(weight.shape)} in {groups} groups does not fit the {inputs} channels of x")
    outputs = weight.shape[1] * groups
    extents = [(k - 1) * d + 1 for k, d in zip(kernel, dilations, strict=True)]
    full = [(s - 1) * t + e for s, t, e in zip(x.shape[2:], strides, extents, strict=True)]
    y = np.zeros(room([n, groups, weight.shape[1], *full]), np.float32)
    flat = x.reshape(n, groups, inputs // groups, -1)
    matrices = weight.reshape(groups, inputs // groups, weight.shape[1], *kernel)
    for tap in np.ndindex(*kernel):
        made = np.matmul(np.swapaxes(matrices[(..., *tap)], 1, 2), flat).reshape(n, groups, -1, *x.shape[2:])
        at = tuple(
            slice(k * d, k * d + (s - 1) * t + 1, t)
            for k, d, s, t in zip(tap, dilations, x.shape[2:], strides, strict=True)
        )
        y[(slice(None),) * 3 + at] += made
    y = _cut(call, y.reshape(n, outputs, *full), x.shape[2:], strides, extents)
    return y + channels(call.real("bias"), y) if call.has("bias") else y


def _cut(call: Call, y: Array, sizes: Sequence[int], strides: Sequence[int], extents: Sequence[int]) -> Array:
    """The part of the full result that is the output; what `output_shape` asks for behind it is zero."""
    kind = call.text("pad_type", "valid", ("valid", "custom", "same"))
    pad = call.integers("pad", [0] * (2 * len(sizes))) if kind == "custom" else [0] * (2 * len(sizes))
    wanted = call.integers("output_shape", [])
    if len(pad) != 2 * len(sizes) or (wanted and (len(wanted) != y.ndim or wanted[:2] != list(y.shape[:2]))):
        raise ValueError(f"pad {pad} or output_shape {wanted} does not fit the result {list(y.shape)}")
    for i, (size, stride, extent) in enumerate(zip(sizes, strides, extents, strict=True)):
        full = (size - 1) * stride + extent
        length = full - pad[2 * i] - pad[2 * i + 1]
        if kind == "same":
            length = size * stride
        if wanted:
            length = wanted[2 + i]
        if length < 1:
            raise ValueError(f"axis {2 + i} of the result would have {length} elements")
        begin = max(0, full - length) // 2 if kind == "same" else pad[2 * i]
        part = y[(slice(None),) * (2 + i) + (slice(begin, begin + length),)]
        missing = length - part.shape[2 + i]
        room([*part.shape[: 2 + i], length, *part.shape[3 + i :]])
        y = np.pad(part, [(0, missing if a == 2 + i else 0) for a in range(y.ndim)]) if missing else part
    return y


def _linear(call: Call) -> Array:
    y = product(call.real("x"), np.swapaxes(call.real("weight"), -1, -2))
    return np.asarray(y + call.real("bias") if call.has("bias") else y)


def _matmul(call: Call) -> Array:
    x, y = call.real("x"), call.real("y")
    if call.flag("transpose_x") and x.ndim > 1:
        x = np.swapaxes(x, -1, -2)
    if call.flag("transpose_y") and y.ndim > 1:
        y = np.swapaxes(y, -1, -2)
    return product(x, y)


def product(x: Array, y: Array) -> Array:
    """numpy's matmul, with the room for its result."""
    if x.ndim > 1 and y.ndim > 1:
        room([*np.broadcast_shapes(x.shape[:-2], y.shape[:-2]), x.shape[-2], y.shape[-1]])
    return np.asarray(np.matmul(x, y))


def _einsum(call: Call) -> Array:
    values, equation = [wide(v) for v in call.several("values")], call.text("equation").replace(" ", "")
    return np.asarray(np.einsum(equation, *_stretched(values, equation), optimize=True))


def _stretched(values: list[Array], equation: str) -> list[Array]:
    """Operands with axes of 1 where others have more made alike: MIL broadcasts axes of the same letter."""
    left, _, result = equation.partition("->")
    terms = left.split(",")
    if len(terms) != len(values) or any(len(t) != v.ndim for t, v in zip(terms, values, strict=True)):
        raise ValueError(f"the equation '{equation}' does not fit operands of rank {[v.ndim for v in values]}")
    sizes: dict[str, int] = {}
    for term, value in zip(terms, values, strict=True):
        for letter, size in zip(term, value.shape, strict=True):
            sizes[letter] = max(sizes.get(letter, 1), size)
    room([sizes.get(letter, 1) for letter in result])
    return [np.broadcast_to(v, [sizes[c] for c in t]) for t, v in zip(terms, values, strict=True)]


MEANINGS: dict[str, Callable[[Call], Array]] = {
    "conv": _conv,
    "conv_quantized": _conv_quantized,
    "conv_transpose": _conv_transpose,
    "linear": _linear,
    "matmul": _matmul,
    "einsum": _einsum,
}
