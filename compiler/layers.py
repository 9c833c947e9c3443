"""`--layers`: the error of every operator's result on one sample.

The graph as the target lowers it is built once more with every result as an output, into a folder that is thrown away:
nothing is overwritten, since every value leaves; what the artifact runs as a block runs op by op, to the same bits.

A result that is a tensor of the ONNX model, perhaps transposed or reshaped (`Value.origin`), is compared with that
tensor in onnxruntime. Any other, such as half of a norm that was taken apart, is compared with the interpreter on the
same graph, which checks the kernels but not what the passes did. Each row says which. Errors are those of the whole
model up to the layer, not of the layer alone.

In narrower arithmetic all are judged by the interpreter on the same narrow graph, as the outputs are, and signal to
noise against the model's tensor is stated beside, also where bytes stand for one (`Value.scaled`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from edgec.graph_values import tapped
from edgec.ir import interp
from edgec.ir.errors import ToolError
from edgec.ir.graph import Graph, Value
from edgec.ir.origin import VIEWS
from edgec.islands import MOST_STEPS, Open, island_ends
from edgec.narrowed import Narrowed, Run, judged
from edgec.onnx_import.limits import VERIFY_BYTES
from edgec.paired import noise_db
from edgec.receipt import compare

Array = np.ndarray[Any, Any]
# names of tensors of the ONNX model -> a function that gives them for inputs, and whose it is
Reference = Callable[[Sequence[str]], tuple[Run, str]]
INTERPRETER = "edgec's interpreter"


def layer_errors(
    graph: Graph, opened: Open, feeds: Mapping[str, Array], reference: Reference, narrowed: Narrowed | None = None
) -> list[dict[str, Any]]:
    """One entry a result, in order; `narrowed` is what judges a graph of narrower arithmetic."""
    results = [(op, value) for op in graph.ops for value in op.results if value.type.size]
    needed = sum(value.type.nbytes for _, value in results)
    if needed > VERIFY_BYTES:
        raise ToolError(f"--layers keeps {needed} bytes of results; at most {VERIFY_BYTES} are allowed")
    _look_through_views(graph)
    # numpy has no bfloat16 that onnxruntime knows
    origins = {v: v.origin for _, v in results if v.origin and v.type.dtype != "bf16" and (narrowed or not v.scaled)}
    wanted = dict.fromkeys(origin.tensor for origin in origins.values())
    run, label = reference(list(wanted))
    known = run(feeds)
    with tapped(graph, [value for _, value in results]) as names:
        with opened(graph) as session:
            made = dict(zip(names, session.run(None, feeds), strict=True))
        told = {value: origin for value, origin in origins.items() if origin.tensor in known}
        asked = narrowed is not None or len(told) < len(results)
        meant = _meant(graph, feeds, made, narrowed.operands() if narrowed is not None else ()) if asked else {}
    ends = {*island_ends(graph)} if narrowed is not None else set()
    rows = []
    for op, value in results:
        origin = told.get(value)
        tensor = {} if origin is None else {"tensor": str(origin)}
        row: dict[str, Any] = {"op": op.label, "type": str(value.type)}
        if narrowed is not None:
            row |= {"against": narrowed.label, **tensor, **_judged(made[value], meant[value], narrowed, value in ends)}
            if origin is not None:
                found = made[value] if value.scaled is None else value.scaled.of(made[value])
                row["against_model_db"] = noise_db(found, origin.of(known[origin.tensor]))
        elif origin is None:
            row |= {"against": INTERPRETER, **compare(made[value], meant[value])}
        else:
            row |= {"against": label, **tensor, **compare(made[value], origin.of(known[origin.tensor]))}
        rows.append(row)
    return rows


def _meant(
    graph: Graph, feeds: Mapping[str, Array], made: Mapping[Value, Array], operands: Sequence[Value]
) -> dict[Value, Array]:
    """Each result by the interpreter, which goes on from what was made of computed floats (edgec.islands) and from what
    steps read (edgec.steps)."""
    ends = {*island_ends(graph), *operands}
    meant: dict[Value, Array] = {}

    def given(value: Value, computed: Array) -> Array:
        meant[value] = computed
        return made.get(value, computed) if value in ends else computed

    interp.run(graph, feeds, given=given)
    return meant


def _judged(found: Array, meant: Array, narrowed: Narrowed, end: bool) -> dict[str, Any]:
    """As outputs are; bytes at the end of an island may be a step off."""
    result = judged(found, meant, narrowed.least_db)
    if end and not result["pass"]:
        steps = np.abs(found.astype(np.int64) - meant.astype(np.int64))
        result["pass"] = int(steps.max(initial=0)) <= MOST_STEPS
    return result


def _look_through_views(graph: Graph) -> None:
    """What is a transpose or reshape of a tensor of the model is that tensor, too."""
    for op in graph.ops:
        x = op.arg(0) if op.kind in VIEWS else None
        alike = x is not None and (x.scaled is None or len(x.scaled.scale) == 1)
        if x is not None and alike and op.result.origin is None and (origin := x.origin) is not None:
            op.result.origin = origin.seen(op.kind, op.attrs[VIEWS[op.kind]])  # type: ignore[arg-type]
            op.result.scaled = x.scaled
