"""Geometry of sliding windows: auto_pad, ceil_mode and defaults become plain pads, strides and dilations."""

from __future__ import annotations

from dataclasses import dataclass

from edgec.onnx_import import limits
from edgec.onnx_import.node import Node


@dataclass(frozen=True)
class Window:
    """`pads` are all befores then all afters; `ceil_pads` are extra after-pads (of `out`) that ceil_mode asks for."""

    kernel: tuple[int, ...]
    strides: tuple[int, ...]
    dilations: tuple[int, ...]
    pads: tuple[int, ...]
    ceil_pads: tuple[int, ...]
    out: tuple[int, ...]


def numbers(node: Node, name: str, default: tuple[int, ...], smallest: int) -> tuple[int, ...]:
    """An integer list attribute of the right length."""
    found = node.integers(name)
    if not found:
        return default
    if len(found) != len(default) or any(v < smallest for v in found) or any(v > limits.TENSOR_ELEMENTS for v in found):
        node.broken(f"has {name}={list(found)}; {len(default)} integers of at least {smallest} are needed")
    return found


def window(node: Node, size: tuple[int, ...], kernel: tuple[int, ...], ceil_mode: bool = False) -> Window:
    """Resolve the attributes for a spatial `size`."""
    rank = len(size)
    strides = numbers(node, "strides", (1,) * rank, 1)
    dilations = numbers(node, "dilations", (1,) * rank, 1)
    auto = node.text("auto_pad", "NOTSET")
    if auto not in ("NOTSET", "VALID", "SAME_UPPER", "SAME_LOWER", ""):
        node.broken(f"has auto_pad='{auto}'; NOTSET, VALID, SAME_UPPER and SAME_LOWER are legal")
    reach = tuple((k - 1) * d + 1 for k, d in zip(kernel, dilations, strict=True))
    if any(k < 1 for k in kernel):
        node.broken(f"has the kernel {list(kernel)}, which is empty")
    if auto.startswith("SAME"):
        out = tuple(-(-n // s) for n, s in zip(size, strides, strict=True))
        total = [max(0, (o - 1) * s + r - n) for o, s, r, n in zip(out, strides, reach, size, strict=True)]
        less, more = tuple(t // 2 for t in total), tuple(t - t // 2 for t in total)
        pads = less + more if auto == "SAME_UPPER" else more + less
        return Window(kernel, strides, dilations, pads, (0,) * rank, out)
    pads = (0,) * (2 * rank) if auto == "VALID" else numbers(node, "pads", (0,) * (2 * rank), 0)
    outs, extra = [], []
    for i in range(rank):
        room = size[i] + pads[i] + pads[rank + i] - reach[i]
        if room < 0:
            node.broken(f"has a window of {reach[i]} over a padded length of {room + reach[i]}")
        n = room // strides[i] + 1
        # ONNX: a window that would start in the after-pad is dropped
        if ceil_mode and room % strides[i] and n * strides[i] < size[i] + pads[i]:
            n += 1
        outs.append(n)
        extra.append(max(0, (n - 1) * strides[i] - room))
    return Window(kernel, strides, dilations, pads, tuple(extra), tuple(outs))


def spatial(node: Node, shape: tuple[int, ...]) -> tuple[int, ...]:
    """Spatial dimensions of an N, C, ... tensor."""
    if len(shape) < 3:
        node.broken(f"needs a batch, a channel and spatial dimensions, not the shape {list(shape)}")
    return shape[2:]


def kernel_of(node: Node, rank: int) -> tuple[int, ...]:
    """The `kernel_shape` attribute, which pooling requires."""
    found = node.integers("kernel_shape")
    if found is None or len(found) != rank or any(k < 1 or k > limits.TENSOR_ELEMENTS for k in found):
        node.broken(f"needs a kernel_shape of {rank} positive integers")
    return found
