"""Operands and results of an operation against the operators' table: what both the evaluator and the checks ask."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from edgec.runtime.coreml.datatypes import BY_NAME, FP32, INT32, DataType
from edgec.runtime.coreml.operators import Row
from edgec.runtime.coreml.program import TensorType, ValueType

# what a letter means when no operand shows it: the types of the parameters' defaults
UNSHOWN = {"fill": FP32, "fill_like": FP32, "one_hot": INT32, "random_bernoulli": FP32, "random_normal": FP32,
           "random_uniform": FP32}  # fmt: skip


@dataclass(frozen=True)
class Given:
    """One argument as far as it is known before anything is computed. `text` is a constant string's value."""

    type: ValueType
    constant: bool
    text: str | None = None


Arguments = Mapping[str, Sequence[Given]]


def problems(row: Row, arguments: Arguments) -> list[str]:
    """What is wrong with an operation's arguments, in words; an empty list when nothing is."""
    found = [f"it has no parameter '{name}'" for name in arguments if name not in row.parameters]
    letters: dict[str, tuple[str, DataType]] = {}
    for name, parameter in row.parameters.items():
        given = arguments.get(name, ())
        if not given:
            if not parameter.optional:
                found.append(f"its parameter '{name}' is missing")
            continue
        if len(given) > 1 and not parameter.several:
            found.append(f"'{name}' takes one value and gets {len(given)}")
        if parameter.constant and not all(g.constant for g in given):
            found.append(f"'{name}' must be constant")
        if parameter.types == ("any",):
            continue
        for one in given:
            if not isinstance(one.type, TensorType):
                found.append(f"'{name}' takes a tensor and gets a {one.type}")
                continue
            dtype = one.type.dtype
            letter = parameter.types[0]
            allowed = row.domains.get(letter, parameter.types)
            if dtype.name not in allowed:
                found.append(f"'{name}' is {dtype} and may be {', '.join(allowed)}")
            elif letter in row.domains:
                first, expected = letters.setdefault(letter, (name, dtype))
                if expected is not dtype:
                    found.append(f"'{name}' is {dtype} but '{first}' is {expected}, and both must be of one type")
    return found + [wrong for spec in row.results if spec.startswith("@") for wrong in _misnamed(spec, row, arguments)]


def _named(spec: str) -> tuple[str, str, str]:
    """(parameter, types, default) of a result that a parameter names."""
    left, _, default = spec[1:].partition("=")
    name, _, types = left.partition(":")
    return name, types, default


def _misnamed(spec: str, row: Row, arguments: Arguments) -> list[str]:
    name, types, _ = _named(spec)
    allowed = row.domains.get(types, tuple(types.split("/")))
    text = _text(arguments, name)
    return [] if text is None or text in allowed else [f"'{name}' is '{text}' and may be {', '.join(allowed)}"]


def result_types(row: Row, arguments: Arguments, count: int) -> list[DataType | None]:
    """The element types of `count` results; None where the table does not say. ValueError when the count is wrong."""
    specs = list(row.results)
    if specs and specs[-1].endswith("*"):
        specs = specs[:-1] + [specs[-1][:-1]] * (count - len(specs) + 1)
    if row.name == "topk" and _text(arguments, "return_indices") == "False":
        specs = specs[:1]
    if len(specs) != count:
        raise ValueError(f"it has {count} results and should have {len(specs)}")
    return [_result(spec, row, arguments) for spec in specs]


def _result(spec: str, row: Row, arguments: Arguments) -> DataType | None:
    if spec == "any":
        return None
    if spec.startswith("@"):
        name, _, default = _named(spec)
        return BY_NAME.get(_text(arguments, name) or default)
    if spec.startswith("="):
        return _dtype(arguments, spec[1:])
    if "|" in spec:  # that of the operand which is not constant
        first, second = spec.split("|")
        swapped = all(g.constant for g in arguments[first]) and not all(g.constant for g in arguments[second])
        return _dtype(arguments, second if swapped else first)
    if spec in row.domains:
        for name, parameter in row.parameters.items():
            if parameter.types == (spec,) and arguments.get(name):
                return _dtype(arguments, name)
        return UNSHOWN.get(row.name)
    return BY_NAME[spec]


def _dtype(arguments: Arguments, name: str) -> DataType | None:
    given = arguments.get(name, ())
    kind = given[0].type if given else None
    return kind.dtype if isinstance(kind, TensorType) else None


def _text(arguments: Arguments, name: str) -> str | None:
    given = arguments.get(name, ())
    return given[0].text if given else None
