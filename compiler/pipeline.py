"""Runs passes in order over every entry, verifying after each; EDGEC_DUMP=DIR writes the text after each."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path

from edgec.ir.errors import UsageError
from edgec.ir.graph import Module
from edgec.ir.text import print_module
from edgec.ir.verify import verify_module
from edgec.passes import PASSES

_SPEC = re.compile(r"([a-z0-9_]+)(?:\{([^}]*)\})?")


def parse_passes(text: str) -> list[str]:
    """`a,b{n=2,m=3}` -> ["a", "b{n=2,m=3}"]."""
    return [s for s in re.split(r",(?![^{]*\})", text.replace(" ", "")) if s]


def run_pipeline(module: Module, names: Sequence[str]) -> None:
    """UsageError for an unknown pass or option; IRError, naming the pass, when one breaks the graph."""
    dump = os.environ.get("EDGEC_DUMP")
    for number, spec in enumerate(names):
        matched = _SPEC.fullmatch(spec)
        if matched is None or matched[1] not in PASSES:
            raise UsageError(f"there is no pass '{spec}'; legal: {', '.join(PASSES)}")
        options = _options(matched[2] or "")
        for graph in module.entries.values():
            try:
                PASSES[matched[1]](graph, **options)
            except TypeError as error:
                if options:
                    raise UsageError(f"the pass '{spec}' does not take these options: {error}") from None
                raise
        verify_module(module, after=matched[1])
        if dump:
            Path(dump).mkdir(parents=True, exist_ok=True)
            (Path(dump) / f"{number:03d}_{matched[1]}.edge").write_text(print_module(module))


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
