"""`--layers`: the error of every operator's result on one sample, against the interpreter.

The graph as the target lowers it is built once more with every result as an output, into a folder that is thrown away:
nothing is overwritten, since every value leaves; what the artifact runs as a block runs op by op, to the same bits.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from edgec.artifact import MANIFEST, sha256, to_json, write_files
from edgec.ir import interp
from edgec.ir.graph import Graph, Op, Value
from edgec.receipt import compare
from edgec.runtime.session import load
from edgec.targets.c.build import Platform, make_files, make_plan
from edgec.targets.c.devices import Device
from edgec.targets.c.emit import Identity

Array = np.ndarray[Any, Any]


def layer_errors(
    graph: Graph, device: Device, platform: Platform, identity: Identity, manifest: Mapping[str, Any],
    feeds: Mapping[str, Array], runner: str | None,
) -> list[dict[str, Any]]:  # fmt: skip
    """One entry a result, in order. `graph` gets more outputs: nothing else may use it afterwards."""
    leaving = graph.output_values()
    named: dict[str, tuple[Value, Op]] = {}
    for number, op in enumerate(graph.ops):
        for value in op.results:
            if value not in leaving and value.type.size:
                named[f"layer_{number}_{len(named)}"] = (value, op)
    graph.outputs += [(name, value) for name, (value, _) in named.items()]
    for name, value in graph.outputs[: len(graph.outputs) - len(named)]:
        if value.op is not None:
            named[name] = (value, value.op)
    plan = make_plan(graph, device, "layers", 1)
    built = make_files(plan, device, identity, platform, lambda _: None)
    ports = [{"name": p.name, "dtype": p.type.dtype, "shape": list(p.type.dims)} for p in plan.outputs]
    stated = {
        **manifest, "name": "layers", "outputs": ports, "scratch_bytes": plan.scratch_bytes, "weights": "linked",
        "files": {n: sha256(c) for n, c in built.files.items()},
    }  # fmt: skip
    folder = Path(tempfile.mkdtemp(prefix="edgec-layers-"))
    try:
        write_files(folder, built.files)
        (folder / MANIFEST).write_bytes(to_json(stated))
        with load(folder, runner=runner) as session:
            found = dict(zip([t.name for t in session.outputs], session.run(None, feeds), strict=True))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    expected = interp.run(graph, feeds)
    order = {id(op): i for i, op in enumerate(graph.ops)}
    rows = sorted(named.items(), key=lambda item: order[id(item[1][1])])
    return [
        {"op": f"{op.kind} {op.source}".strip(), "type": str(value.type), **compare(found[name], expected[name])}
        for name, (value, op) in rows
    ]
