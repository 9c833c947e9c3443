"""Runs passes in order over every entry, verifying after each; EDGEC_DUMP=DIR writes the text after each.

What a pass did is seen from outside: the operators that outputs depend on, before and after it.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from edgec.ir.errors import UsageError
from edgec.ir.graph import Graph, Module
from edgec.ir.text import print_module
from edgec.ir.verify import verify_module
from edgec.passes import PASSES

_SPEC = re.compile(r"([a-z0-9_]+)(?:\{([^}]*)\})?")


def parse_passes(text: str) -> list[str]:
    """`a,b{n=2,m=3}` -> ["a", "b{n=2,m=3}"]."""
    return [s for s in re.split(r",(?![^{]*\})", text.replace(" ", "")) if s]


@dataclass
class Effect:
    """Operators that a pass made needless and those that it put there, by kind."""

    went: Counter[str] = field(default_factory=Counter)
    came: Counter[str] = field(default_factory=Counter)


def run_pipeline(module: Module, names: Sequence[str]) -> dict[str, Effect]:
    """What each pass did, all of its runs together, where it did something. UsageError for an unknown pass or option;
    IRError, naming the pass, when one breaks the graph."""
    dump = os.environ.get("EDGEC_DUMP")
    effects: dict[str, Effect] = {}
    kinds = {name: live_kinds(graph) for name, graph in module.entries.items()}
    for number, spec in enumerate(names):
        title = spec.partition("{")[0]
        for name, graph in module.entries.items():
            if run_pass(graph, spec) and (after := live_kinds(graph)) != kinds[name]:
                effect = effects.setdefault(title, Effect())
                effect.went += kinds[name] - after
                effect.came += after - kinds[name]
                kinds[name] = after
        verify_module(module, after=title)
        if dump:
            Path(dump).mkdir(parents=True, exist_ok=True)
            (Path(dump) / f"{number:03d}_{title}.edge").write_text(print_module(module))
    return effects


def run_pass(graph: Graph, spec: str) -> bool:
    """Runs a pass, given as `name` or `name{option=1}`; UsageError when there is no such pass or option."""
    matched = _SPEC.fullmatch(spec)
    if matched is None or matched[1] not in PASSES:
        raise UsageError(f"there is no pass '{spec}'; legal: {', '.join(PASSES)}")
    options = _options(matched[2] or "")
    try:
        return PASSES[matched[1]](graph, **options)
    except TypeError as error:
        if options:
            raise UsageError(f"the pass '{spec}' does not take these options: {error}") from None
        raise


def live_kinds(graph: Graph) -> Counter[str]:
    """How many operators of each kind the outputs depend on."""
    live = graph.output_values()
    kinds: Counter[str] = Counter()
    for op in reversed(graph.ops):
        if any(r in live for r in op.results):
            kinds[op.kind] += 1
            live.update(v for v in op.inputs if v is not None)
    return kinds


def _options(text: str) -> dict[str, int | float | str]:
    options: dict[str, int | float | str] = {}
    for item in filter(None, text.split(",")):
        key, _, value = item.partition("=")
        try:
            options[key] = int(value)
        except ValueError:
            try:
                options[key] = float(value)
            except ValueError:
                options[key] = value
    return options
