"""Several imports of a model as one module: an entry each, constants of equal contents once."""

from __future__ import annotations

from collections.abc import Mapping

from edgec.ir.graph import Graph, Module


def join_modules(modules: Mapping[str, Module]) -> Module:
    """The entry `main` of each module under its new name. The modules are not used any more."""
    joined = Module()
    for name, module in modules.items():
        joined.constants.update(module.constants)
        joined.narrow |= module.narrow
        graph: Graph = module.entries["main"]
        graph.module, graph.name = joined, name
        joined.entries[name] = graph
    return joined
