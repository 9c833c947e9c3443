"""The table of operators against coremltools' registry, and every operator against what it needs."""

from __future__ import annotations

import pytest
from coremltools.converters.mil.mil import types
from coremltools.converters.mil.mil.input_type import TensorInputType, TupleInputType
from coremltools.converters.mil.mil.ops.registry import SSAOpRegistry

from edgec.runtime.coreml.meanings import REFUSED, meanings
from edgec.runtime.coreml.operators import Row, row_of, table

OPSETS = {"iOS15": 5, "iOS16": 6, "iOS17": 7, "iOS18": 8}
OURS = {"write_state"}  # in files only: coremltools has coreml_update_state in its place
THEIRS = {"const", "_const_symbolic"}
NAMES = {"str": "string", "int4": "int4"}


def _name(kind: object) -> str:
    found = str(types.builtin_to_string(kind))
    return NAMES.get(found, found)


def _theirs(cls: type, opset: int) -> dict[str, tuple[bool, bool, bool, object]]:
    """(optional, constant, several, types) of each parameter by name; types None where any may come."""
    found = {}
    for name, kind in cls.input_spec.input_types.items():  # type: ignore[attr-defined]
        if name.startswith("_"):
            continue
        allowed: object = None
        if isinstance(kind, TensorInputType):
            letter = kind.type_domain_id
            domain = cls.type_domains[letter] if letter else kind.type_domain  # type: ignore[attr-defined]
            allowed = letter, frozenset(map(_name, domain))
        found[name] = (bool(kind.optional), bool(kind.const), isinstance(kind, TupleInputType), allowed)
    return found


def _ours(row: Row) -> dict[str, tuple[bool, bool, bool, object]]:
    found = {}
    for name, p in row.parameters.items():
        allowed: object = None
        if p.types != ("any",):
            letter = p.types[0] if p.types[0] in row.domains else None
            allowed = letter, frozenset(row.domains[letter] if letter else p.types)
        found[name] = (p.optional, p.constant, p.several, allowed)
    return found


def test_the_table_has_coremltools_operators() -> None:
    assert set(table()) - OURS == set(SSAOpRegistry.core_ops) - THEIRS


@pytest.mark.parametrize("name", sorted(set(SSAOpRegistry.core_ops) - THEIRS))
def test_parameters_are_coremltools_own(name: str) -> None:
    """In every opset: which parameters, which of them optional or constant, which types."""
    for target, cls in SSAOpRegistry.core_ops[name].items():
        if target.name in OPSETS:
            row = row_of(name, OPSETS[target.name])
            assert row is not None
            assert _ours(row) == _theirs(cls, OPSETS[target.name]), target.name
    since = min(OPSETS[t.name] for t in SSAOpRegistry.core_ops[name] if t.name in OPSETS)
    assert row_of(name, since - 1) is None
    assert row_of(name, 9) == row_of(name, 8)


def test_every_operator_has_a_meaning_or_a_reason() -> None:
    control = {"cond", "while_loop"}  # the evaluator's own
    assert set(meanings()) | set(REFUSED) | control == set(table())
    assert not set(meanings()) & set(REFUSED)
