"""The table of what is known to leave the Neural Engine (residency.toml), as values."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files


@dataclass(frozen=True)
class Known:
    """`subject` is a MIL operator or a check; `most` its limit, 0 where it has none; `source` says where it stands;
    `advice` is for packages that compute nothing in halves."""

    subject: str
    why: str
    source: str
    most: int = 0
    advice: str = ""


@dataclass(frozen=True)
class Residency:
    operators: dict[str, Known]
    forms: tuple[Known, ...]


@cache
def residency() -> Residency:
    table = tomllib.loads(files("edgec.targets.coreml").joinpath("residency.toml").read_text(encoding="utf-8"))
    sources = table["sources"]
    operators = {
        name: Known(name, row["why"], sources[row["source"]]) for row in table["operator"] for name in row["names"]
    }
    forms = tuple(
        Known(row["check"], row["why"], sources[row["source"]], row.get("most", 0), row.get("advice", ""))
        for row in table["form"]
    )
    return Residency(operators, forms)
