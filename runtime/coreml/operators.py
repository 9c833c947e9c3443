"""The table of MIL operators (operators.txt): since which opset, which parameters, which element types.

A line: `name opset parameter… -> result… | domain…`. A parameter is `name:types`, with `?` behind the name when it may
be left out, `!` when it must be constant, `*` when it takes several values. Types are names or a letter that stands for
one type among its domain's; `any` is not checked. A result is a type or letter, `@parameter:types` (named by that
parameter, one of these types, `=` its default), `=parameter` (the type of that operand), `a|b` (of the one that is not
constant), with `*` for any number of results. A later line of the same name is what the operator is from that opset on.
Facts from coremltools 9 (converters/mil/mil/ops/defs), held by a test.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib.resources import files

FILE = "operators.txt"


@dataclass(frozen=True)
class Parameter:
    name: str
    optional: bool
    constant: bool
    several: bool
    types: tuple[str, ...]  # one letter, names, or `any`


@dataclass(frozen=True)
class Row:
    """An operator from `opset` on."""

    name: str
    opset: int
    parameters: dict[str, Parameter]
    results: tuple[str, ...]
    domains: dict[str, tuple[str, ...]]


@cache
def table() -> dict[str, tuple[Row, ...]]:
    """Rows by operator, oldest first."""
    found: dict[str, list[Row]] = {}
    for line in files("edgec.runtime.coreml").joinpath(FILE).read_text().splitlines():
        if line and not line.startswith("#"):
            row = _row(line)
            found.setdefault(row.name, []).append(row)
    return {name: tuple(rows) for name, rows in found.items()}


def row_of(name: str, opset: int) -> Row | None:
    """The operator as an opset has it; None when it has not."""
    rows = [row for row in table().get(name, ()) if row.opset <= opset]
    return rows[-1] if rows else None


def _row(line: str) -> Row:
    body, _, domains = line.partition(" | ")
    left, _, results = body.partition(" -> ")
    name, opset, *parameters = left.split()
    parsed = [_parameter(text) for text in parameters]
    letters = dict(text.split("=") for text in domains.split())
    return Row(
        name,
        int(opset),
        {p.name: p for p in parsed},
        tuple(results.split()),
        {letter: tuple(types.split("/")) for letter, types in letters.items()},
    )


def _parameter(text: str) -> Parameter:
    name, _, types = text.partition(":")
    bare = name.rstrip("?!*")
    marks = name[len(bare) :]
    return Parameter(bare, "?" in marks, "!" in marks, "*" in marks, tuple(types.split("/")))
