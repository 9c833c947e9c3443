"""Moves zero padding of the spatial axes into the convolution that reads it.

%1 = pad %x {before=(0, 0, 1, 1), after=(0, 0, 1, 1)}       %2 = conv %x, #w {pads=(1, 1, 1, 1)}
%2 = conv %1, #w {pads=(0, 0, 0, 0)}                   ->
"""

from __future__ import annotations

from edgec.ir.graph import Graph


def fold_pad(graph: Graph) -> bool:
    changed = False
    for op in graph.ops:
        if op.kind != "conv":
            continue
        source = op.arg(0).op
        if source is None or source.kind != "pad" or source.attrs["mode"] != "constant" or source.attrs["value"] != 0.0:
            continue
        before, after = tuple(source.attrs["before"]), tuple(source.attrs["after"])  # type: ignore[arg-type]
        first = 2 if op.attrs["layout"] == "nchw" else 1
        last = len(before) if op.attrs["layout"] == "nchw" else len(before) - 1
        if any(p for i, p in enumerate((*before, *after)) if not first <= i % len(before) < last):
            continue
        spatial: tuple[int, ...] = before[first:last] + after[first:last]  # type: ignore[assignment]
        own: tuple[int, ...] = op.attrs["pads"]  # type: ignore[assignment]
        pads = tuple(p + q for p, q in zip(own, spatial, strict=True))
        op.attrs = {**op.attrs, "pads": pads}
        op.inputs[0] = source.arg(0)
        changed = True
    return changed
