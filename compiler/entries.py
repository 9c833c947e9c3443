"""Several imports of a model as one module: an entry each, constants of equal contents once."""

from __future__ import annotations

from collections.abc import Iterable

from edgec.ir.graph import Graph, Module


def join_modules(modules: Iterable[tuple[str, Module]]) -> Module:
    """The entry `main` of each module under its new name. The modules are not used any more, and none is kept while the
    next one is made."""
    joined = Module()
    for name, module in modules:
        joined.constants |= {key: array for key, array in module.constants.items() if key not in joined.constants}
        joined.narrow |= module.narrow
        graph: Graph = module.entries["main"]
        graph.module, graph.name = joined, name
        joined.entries[name] = graph
    return joined
