"""Which element types of each core operator have a form in Core ML: found by emitting one small op of each."""

from __future__ import annotations

from edgec.ir.errors import EdgecError
from edgec.ir.ops import OPS
from edgec.ir.types import DTYPES
from edgec.kernel_table import sample_graph
from edgec.passes import COREML
from edgec.pipeline import run_pipeline
from edgec.targets.apple.features import LACKS
from edgec.targets.coreml.deployment import Deployment


def routes_missing(deployment: Deployment) -> dict[str, tuple[str, ...]]:
    """Operator -> the element types that it takes and that have no form there, but for those that nothing has."""
    return {
        kind: tuple(d for d in DTYPES if d not in LACKS and not _emits(kind, d, deployment)) for kind in sorted(OPS)
    }


def _emits(kind: str, dtype: str, deployment: Deployment) -> bool:
    from edgec.targets.coreml.program import emit

    graph = sample_graph(kind, dtype)
    if graph is None:
        return True
    graph.module.entries["main"] = graph
    run_pipeline(graph.module, COREML)
    try:
        emit(graph.module, deployment, halves=False)
    except EdgecError:
        return False
    return True
