"""Every function and shape of a package, run by the evaluator beside the reference."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from edgec.artifact import staged
from edgec.byte_noise import Given, rounds, steps_off
from edgec.core_ml_precision import SettledPackage
from edgec.ir import interp
from edgec.ir.errors import ToolError
from edgec.ir.graph import Graph
from edgec.made import Request
from edgec.narrowed import Run
from edgec.onnx_import.importer import import_model
from edgec.package_entries import Entries
from edgec.picture import planes_of
from edgec.runtime.errors import RunError
from edgec.runtime.session import load
from edgec.verify_artifact import Call, Verified, verify_session

Array = np.ndarray[Any, Any]
MOST_SIZES = 8  # of a range that are run; that its programs are one is known of all
RUNNERS = {"auto": None, "evaluate": "evaluator", "coreml": "coreml"}


@dataclass(frozen=True)
class VerifiedPackage:
    """`verified` is the first entry's, with outputs of the others behind its own; `calls` are by entry."""

    verified: Verified
    calls: dict[str, tuple[Call, ...]]


def spread(manifests: Mapping[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Some of a range's sizes: both ends, and what lies evenly between them."""
    names = list(manifests)
    count = min(len(names), MOST_SIZES)
    return {name: manifests[name] for name in (names[i * (len(names) - 1) // max(count - 1, 1)] for i in range(count))}


def verify_package(
    files: dict[str, bytes], manifests: Mapping[str, dict[str, Any]], request: Request, entries: Entries,
    settled: SettledPackage,
) -> VerifiedPackage:  # fmt: skip
    """`manifests` has one for each entry: its inputs and outputs."""
    each = {
        entry: _verified(files, manifest, request, entries, entry, settled) for entry, manifest in manifests.items()
    }
    first, *others = each
    verified = each[first]
    result = verified.facts["verification"]
    for entry in others:
        outputs = each[entry].facts["verification"]["outputs"]
        result["outputs"] |= {f"{name} ({entry})": facts for name, facts in outputs.items()}
    result["pass"] = all(facts["pass"] for facts in result["outputs"].values())
    return VerifiedPackage(verified, {entry: tuple(v.calls) for entry, v in each.items()})


def _verified(
    files: dict[str, bytes], manifest: dict[str, Any], request: Request, entries: Entries, entry: str,
    settled: SettledPackage,
) -> Verified:  # fmt: skip
    options = request.options
    original = import_model(request.model, entries.shapes[entry]).entries["main"]
    function = entry if options.package.functions else None
    with staged(files, manifest) as folder:
        try:
            session = load(folder, runner=RUNNERS[options.verify], function=function)
        except RunError as error:
            raise ToolError(
                f"the package cannot be verified here (build with --verify none to go without): {error}"
            ) from None
        with session:
            if settled.narrowed is None:
                return verify_session(
                    session, request.model, original, options, request.images, False, samples=settled.samples
                )
            narrowed = replace(settled.narrowed, graph=entries.module.entries[entry])
            graph, images = narrowed.graph, request.images
            meant = _meaning(graph, request)
            off = _meaning(graph, request, steps_off(graph)) if settled.halves and rounds(graph) else None
            return verify_session(
                session, request.model, original, options, images, False, narrowed, meant, settled.samples, off
            )


def _meaning(graph: Graph, request: Request, given: Given = lambda _, array: array) -> Run:
    """What the graph means, for pixels where it has pictures, from one call to the next where it has states; with what
    `given` makes of results."""
    images, state = request.images, dict[str, Array]()
    types = {v.name: v.type for v in graph.inputs}

    def run(feeds: Mapping[str, Array]) -> dict[str, Array]:
        taken = {n: planes_of(images[n], x, types[n]) if n in images else x for n, x in feeds.items()}
        return interp.run(graph, taken, state if graph.states else None, given)

    return run
