"""`--layers`: the error of every operator's result on one sample.

The graph as the target lowers it is built once more with every result as an output, into a folder that is thrown away:
nothing is overwritten, since every value leaves; what the artifact runs as a block runs op by op, to the same bits.

A result that is a tensor of the ONNX model, perhaps transposed or reshaped (`Value.origin`), is compared with that
tensor in onnxruntime. Any other, such as half of a norm that was taken apart, is compared with the interpreter on the
same graph, which checks the kernels but not what the passes did. Each row says which. Errors are those of the whole
model up to the layer, not of the layer alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from edgec.graph_values import tapped
from edgec.ir import interp
from edgec.ir.errors import ToolError
from edgec.ir.graph import Graph, Value
from edgec.ir.origin import VIEWS, Origin
from edgec.islands import Open
from edgec.narrowed import Run
from edgec.onnx_import.limits import VERIFY_BYTES
from edgec.receipt import compare

Array = np.ndarray[Any, Any]
# names of tensors of the ONNX model -> a function that gives them for inputs, and whose it is
Reference = Callable[[Sequence[str]], tuple[Run, str]]
INTERPRETER = "edgec's interpreter"


def layer_errors(
    graph: Graph, opened: Open, feeds: Mapping[str, Array], reference: Reference
) -> list[dict[str, Any]]:
    """One entry a result, in order."""
    results = [(op, value) for op in graph.ops for value in op.results if value.type.size]
    needed = sum(value.type.nbytes for _, value in results)
    if needed > VERIFY_BYTES:
        raise ToolError(f"--layers keeps {needed} bytes of results; at most {VERIFY_BYTES} are allowed")
    _look_through_views(graph)
    # numpy has no bfloat16 that onnxruntime knows
    wanted = dict.fromkeys(v.origin.tensor for _, v in results if v.origin and not v.scaled and v.type.dtype != "bf16")
    run, label = reference(list(wanted))
    known = run(feeds)
    with tapped(graph, [value for _, value in results]) as names:
        with opened(graph) as session:
            found = dict(zip([t.name for t in session.outputs], session.run(None, feeds), strict=True))
        here = interp.run(graph, feeds) if any(_origin(value, known) is None for _, value in results) else {}
    rows = []
    for op, value in results:
        origin, name = _origin(value, known), names[value]
        row: dict[str, Any] = {"op": op.label, "type": str(value.type)}
        if origin is None:
            row |= {"against": INTERPRETER, **compare(found[name], here[name])}
        else:
            row |= {"against": label, "tensor": str(origin), **compare(found[name], origin.of(known[origin.tensor]))}
        rows.append(row)
    return rows


def _origin(value: Value, known: Mapping[str, Array]) -> Origin | None:
    """The value's origin where it is that tensor, and the reference has it."""
    there = value.origin is not None and value.origin.tensor in known and value.scaled is None
    return value.origin if there else None


def _look_through_views(graph: Graph) -> None:
    """What is a transpose or reshape of a tensor of the model is that tensor, too."""
    for op in graph.ops:
        x = op.arg(0) if op.kind in VIEWS else None
        if x is not None and op.result.origin is None and x.scaled is None and (origin := x.origin) is not None:
            op.result.origin = origin.seen(op.kind, op.attrs[VIEWS[op.kind]])  # type: ignore[arg-type]
