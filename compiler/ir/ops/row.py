"""One row of the operator table: arity, attributes, result types, numpy meaning, row rule."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from edgec.ir.errors import IRError
from edgec.ir.graph import Attr
from edgec.ir.ops.row_rules import Rule, boundary
from edgec.ir.types import Type

Attrs = dict[str, Attr]
Infer = Callable[[Sequence[Type | None], Any], list[Type]]
Evaluate = Callable[[Sequence[Any], Any], list[np.ndarray]]


class Required:
    """Marks an attribute without default."""


REQUIRED = Required()


@dataclass(frozen=True)
class OpRow:
    """`infer(types, attrs)` gives the result types or raises IRError with the rule that is broken;
    `evaluate(arrays, attrs)` is the meaning in numpy. `arity` is (fewest, most); most = -1 for any number.

    `rows` is the row rule (row_rules.py).
    """

    kind: str
    family: str
    arity: tuple[int, int]
    infer: Infer
    evaluate: Evaluate
    attrs: dict[str, Attr | Required] = field(default_factory=dict)
    rows: Rule = boundary

    def complete(self, given: Attrs) -> Attrs:
        """Attributes in table order with defaults filled in; IRError for unknown or missing ones."""
        for name in given:
            if name not in self.attrs:
                raise IRError(f"{self.kind} has no attribute {name}; it has {', '.join(self.attrs) or 'none'}")
        full: Attrs = {}
        for name, default in self.attrs.items():
            if name in given:
                full[name] = given[name]
            elif isinstance(default, Required):
                raise IRError(f"{self.kind} needs the attribute {name}")
            else:
                full[name] = default
        return full
