"""Fourier transforms as products with constant matrices, and the mel filter bank."""

from __future__ import annotations

import math

import numpy as np

from edgec.ir.graph import Value
from edgec.onnx_import import limits
from edgec.onnx_import.items import Item
from edgec.onnx_import.node import Node, Table

Pair = tuple[Value, Value | None]


def matrices(node: Node, x: Value, length: int, bins: int, inverse: bool) -> tuple[Value, Value]:
    """cos and sin of 2 pi j k / length, [length, bins]; the inverse is divided by the length."""
    node.room(length * bins, 4, f"the matrix of {node.source}")
    # the phase is reduced in integers, which keeps it exact for long transforms
    phase = np.outer(np.arange(length), np.arange(bins)) % length * (2 * math.pi / length)
    norm = 1 / length if inverse else 1.0
    cos, sin = np.cos(phase) * norm, np.sin(phase) * (norm if inverse else -norm)
    return node.constant(cos.astype(x.type.numpy)), node.constant(sin.astype(x.type.numpy))


def fitted(node: Node, x: Value, length: int) -> Value:
    """The last axis cut or padded with zeros to `length`."""
    shape = node.shape(x)
    last = len(shape) - 1
    x = node.slice(x, last, 0, min(length, shape[last]))
    return node.pad(x, [0] * len(shape), [0] * last + [max(0, length - shape[last])])


def transform(node: Node, pair: Pair, length: int, bins: int, inverse: bool) -> tuple[Value, Value]:
    """(re + i im) times (cos + i sin) over the last axis."""
    re = fitted(node, pair[0], length)
    cos, sin = matrices(node, re, length, bins, inverse)
    real, imaginary = node.op("matmul", re, cos), node.op("matmul", re, sin)
    if pair[1] is not None:
        im = fitted(node, pair[1], length)
        real = node.op("sub", real, node.op("matmul", im, sin))
        imaginary = node.op("add", imaginary, node.op("matmul", im, cos))
    return real, imaginary


def parts_of(node: Node, x: Value) -> Pair:
    """Real and imaginary part of a tensor whose last axis holds one or both."""
    shape = node.shape(x)
    last = len(shape) - 1
    if last < 1 or shape[last] not in (1, 2):
        node.broken(f"needs a last dimension of 1 or 2, not the shape {list(shape)}")
    re = node.reshape(node.slice(x, last, 0, 1), shape[:-1])
    return re, node.reshape(node.slice(x, last, 1, 2), shape[:-1]) if shape[last] == 2 else None


def joined(node: Node, re: Value, im: Value) -> Value:
    shape = (*node.shape(re), 1)
    return node.concat([node.reshape(re, shape), node.reshape(im, shape)], len(shape) - 1)


def dft(node: Node) -> list[Item]:
    x = node.value(0)
    rank = len(node.shape(x))
    axis = (node.const_int(2) if node.has(2) else -2) if node.opset >= 20 else node.integer("axis", 1)
    axis = node.axis(axis, rank)
    if axis == rank - 1:
        node.broken("transforms the axis of real and imaginary parts")
    inverse, onesided = node.flag("inverse"), node.flag("onesided")
    size = node.shape(x)[axis]
    length = node.const_int(1) if node.has(1) else 2 * (size - 1) if inverse and onesided else size
    if length < 1:
        node.broken(f"has a length of {length}")
    order = [i for i in range(rank - 1) if i != axis] + [axis]
    re, im = (None if p is None else as_rows(node, node.transpose(p, order)) for p in parts_of(node, x))
    assert re is not None
    if inverse and onesided:
        results = [mirrored_inverse(node, (re, im), length)]
    else:
        bins = length // 2 + 1 if onesided else length
        results = list(transform(node, (re, im), length, bins, inverse))
    outer = [node.shape(x)[i] for i in order[:-1]]
    back = [order.index(i) for i in range(rank - 1)]
    results = [node.transpose(node.reshape(v, (*outer, node.shape(v)[1])), back) for v in results]
    if len(results) == 1:
        return [node.reshape(results[0], (*node.shape(results[0]), 1))]
    return [joined(node, results[0], results[1])]


def as_rows(node: Node, x: Value) -> Value:
    shape = node.shape(x)
    return node.reshape(x, (math.prod(shape[:-1]), shape[-1]))


def mirrored_inverse(node: Node, pair: Pair, length: int) -> Value:
    """Real signal of half a spectrum: inner bins count twice, since their mirror images are not stored."""
    bins = length // 2 + 1
    factor = np.full(bins, 2.0)
    factor[0] = 1.0
    if length % 2 == 0:
        factor[-1] = 1.0
    node.room(length * bins, 4, f"the matrix of {node.source}")
    phase = np.outer(np.arange(bins), np.arange(length)) % length * (2 * math.pi / length)
    kind = pair[0].type.numpy
    cos = node.constant((np.cos(phase) * factor[:, None] / length).astype(kind))
    sin = node.constant((np.sin(phase) * factor[:, None] / length).astype(kind))
    real = node.op("matmul", fitted(node, pair[0], bins), cos)
    return real if pair[1] is None else node.op("sub", real, node.op("matmul", fitted(node, pair[1], bins), sin))


def stft(node: Node) -> list[Item]:
    """[B, L, 1 or 2] -> [B, frames, bins, 2]"""
    x, step = node.value(0), node.const_int(1)
    window = node.optional(2)
    shape = node.shape(x)
    if len(shape) == 2:
        x, shape = node.reshape(x, (*shape, 1)), (*shape, 1)
    length = node.const_int(3) if node.has(3) else node.shape(window)[0] if window is not None else shape[1]
    if step < 1 or not 0 < length <= shape[1]:
        node.broken(f"has frames of {length} every {step} for a signal of {shape[1]}")
    frames = 1 + (shape[1] - length) // step
    node.room(frames * length, 2, f"the frames of {node.source}")
    places = np.arange(frames, dtype=np.int64)[:, None] * step + np.arange(length, dtype=np.int64)
    limits.check_shape((shape[0], *places.shape), f"the frames of {node.source}")
    found: list[Value | None] = []
    for part in parts_of(node, x):
        if part is None:
            found.append(None)
            continue
        framed = node.op("gather", part, node.constant(places), axis=1)
        if window is not None:
            # a window shorter than the frame is centred by nobody: it stands in front
            framed = node.op("mul", framed, fitted(node, window, length))
        found.append(framed)
    assert found[0] is not None
    bins = length // 2 + 1 if node.flag("onesided", True) else length
    return [joined(node, *transform(node, (found[0], found[1]), length, bins, inverse=False))]


def mel_weights(node: Node) -> list[Item]:
    """Triangles between neighbouring mel frequencies, a constant."""
    bins, length, rate = node.const_int(0), node.const_int(1), node.const_int(2)
    low, high = node.const_float(3), node.const_float(4)
    if bins < 1 or length < 1 or rate < 1 or not 0 <= low <= high < math.inf:
        node.broken(f"has {bins} bins of {low} to {high} Hz for {length} samples at {rate} Hz")
    node.room((length // 2 + 1) * bins, 2)
    if bins > limits.TRIPS:
        node.broken(f"has {bins} bins; at most {limits.TRIPS} are allowed")
    low_mel, high_mel = (2595 * np.log1p(f / 700) / np.log(10) for f in (low, high))
    mels = np.arange(bins + 2) * ((high_mel - low_mel) / (bins + 2)) + low_mel
    edges = (((length + 1) * (700 * np.expm1(mels / 2595 * np.log(10)))) // rate).astype(int)
    if edges.max() > length // 2:
        node.broken(f"reaches beyond half the sample rate of {rate} Hz")
    weights = np.zeros((length // 2 + 1, bins))
    for i in range(bins):
        left, centre, right = edges[i : i + 3]
        if left == centre:
            weights[centre, i] = 1
        else:
            weights[left : centre + 1, i] = np.arange(centre - left + 1) / (centre - left)
        if right > centre:
            weights[centre:right, i] = (right - np.arange(centre, right)) / (right - centre)
    return [node.constant(weights, node.dtype("output_datatype", "f32"))]


SIGNAL: Table = {"DFT": dft, "MelWeightMatrix": mel_weights, "STFT": stft}
