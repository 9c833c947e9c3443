"""What the importer takes, read off its own source: per ONNX operator the opsets, the refusals, the core operators.

The sentences are the ones beside the checks: every `node.refuse(...)` that an entry of the table can reach. Operands
that are read with `node.const...` must be constants.
"""

from __future__ import annotations

import ast
import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from types import FunctionType, ModuleType
from typing import Any

import onnx

from edgec.ir.ops import OPS
from edgec.onnx_import.ops import TABLE
from edgec.onnx_import.ops.refused import REFUSED
from edgec.onnx_import.reader import OLDEST_OPSET
from edgec.onnx_import.signature import SPELLED

CONSTANTS = ("const", "const_ints", "const_floats", "const_int", "const_float")
# methods of a node whose strings are names of attributes
GETTERS = ("text", "integer", "number", "flag", "integers", "numbers", "dtype", "graph", "tensor", "broken", "refuse")
UNKNOWN = "is not a supported operator"
BODY = "made of other operators by the standard's own definition"


@dataclass(frozen=True)
class Support:
    """`status` is supported, composed or refused; `limits` are the ends of sentences that begin with the
    operator, `kinds` the core operators it may become, `dtypes` what its first operand may be."""

    name: str
    first: int
    last: int
    status: str
    constants: tuple[str, ...] = ()
    limits: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()
    dtypes: tuple[str, ...] = ()


def operators() -> list[Support]:
    """Every operator of the standard in a legal opset, and those of other domains that the tables name."""
    found: dict[str, list[Any]] = {}
    for schema in onnx.defs.get_all_schemas_with_history():
        found.setdefault(f"{schema.domain}.{schema.name}" if schema.domain else schema.name, []).append(schema)
    standard = [_support(name, schemas) for name, schemas in sorted(found.items()) if _live(name, schemas)]
    return standard + [_foreign(name) for name in sorted(TABLE.keys() - found.keys())]


def _live(name: str, schemas: list[Any]) -> bool:
    newest = max(schemas, key=lambda s: s.since_version)
    return name in TABLE or (not newest.domain and not (newest.deprecated and newest.since_version <= OLDEST_OPSET))


def _foreign(name: str) -> Support:
    """An operator of a domain whose signatures the standard does not hold."""
    functions = list(reachable(TABLE[name]))
    limits = tuple(dict.fromkeys(text for f in functions for text in _sentences(f)))
    return Support(name, 1, 1, "supported", (), limits, tuple(sorted({k for f in functions for k in _kinds(f)})))


def _support(name: str, schemas: list[Any]) -> Support:
    newest = max(schemas, key=lambda s: s.since_version)
    current = onnx.defs.onnx_opset_version() if not newest.domain else newest.since_version
    oldest = min(s.since_version for s in schemas)
    first = max(OLDEST_OPSET, oldest) if not newest.domain else oldest
    last = newest.since_version - 1 if newest.deprecated else current
    alive = sorted((s for s in schemas if not s.deprecated), key=lambda s: s.since_version)
    operands = [str(i.name) for i in max(alive, key=lambda s: len(s.inputs)).inputs]
    entry = TABLE.get(name)
    if entry is None:
        composed = any(s.has_function or s.has_context_dependent_function for s in schemas)
        return Support(name, first, last, *(("composed", (), (BODY,)) if composed else ("refused", (), (UNKNOWN,))))
    functions = list(reachable(entry))
    limits = tuple(dict.fromkeys(text for f in functions for text in _sentences(f)))
    if name in REFUSED:
        return Support(name, first, last, "refused", limits=limits)
    indices = sorted({i for f in functions for i in _constant_operands(f) if i < len(operands)})
    kinds = tuple(sorted({k for f in functions for k in _kinds(f)} | ({name.lower()} & OPS.keys())))
    first_types = alive[-1].inputs[0].types if alive[-1].inputs else ()
    dtypes = tuple(dtype for dtype, text in SPELLED.items() if f"tensor({text})" in first_types)
    return Support(name, first, last, "supported", tuple(operands[i] for i in indices), limits, kinds, dtypes)


def reachable(entry: Callable[..., Any]) -> Iterator[FunctionType]:
    """The entry and every function of the importer's tables that it can call."""
    seen: set[object] = set()
    stack: list[object] = [entry]
    while stack:
        at = stack.pop()
        inside = isinstance(at, FunctionType) and at.__module__.startswith("edgec.onnx_import.ops.")
        if not isinstance(at, FunctionType) or not inside or at.__code__ in seen:
            continue
        seen.add(at.__code__)
        yield at
        names = {n.id for n in ast.walk(source_of(at)) if isinstance(n, ast.Name)}
        known = {**at.__globals__, **closure(at)}
        stack += [known[n] for n in sorted(names & known.keys())]


def closure(function: FunctionType) -> dict[str, Any]:
    """What a function holds of the one that made it."""
    cells = function.__closure__ or ()
    return {name: cell.cell_contents for name, cell in zip(function.__code__.co_freevars, cells, strict=True)}


@lru_cache(maxsize=64)
def _tree(module: ModuleType) -> ast.Module:
    return ast.parse(inspect.getsource(module))


def source_of(function: FunctionType) -> ast.AST:
    """The syntax tree of a function or lambda, found by its line."""
    module = inspect.getmodule(function)
    assert module is not None
    line = function.__code__.co_firstlineno
    kinds = (ast.FunctionDef, ast.Lambda)
    return next(n for n in ast.walk(_tree(module)) if isinstance(n, kinds) and n.lineno == line)


def _calls(function: FunctionType) -> Iterator[tuple[str, ast.Call]]:
    """Calls of methods, by the method's name; functions by theirs."""
    for node in ast.walk(source_of(function)):
        if isinstance(node, ast.Call) and isinstance(node.func, (ast.Attribute, ast.Name)):
            yield node.func.attr if isinstance(node.func, ast.Attribute) else node.func.id, node


def _sentences(function: FunctionType) -> list[str]:
    return [_text(call.args[0], function) for name, call in _calls(function) if name == "refuse"]


def _text(node: ast.expr, function: FunctionType) -> str:
    """A message as it reads; what is known at run time only is an ellipsis."""
    known = {**function.__globals__, **closure(function)}
    if isinstance(node, ast.JoinedStr):
        return "".join(_text(part, function) for part in node.values)
    if isinstance(node, ast.FormattedValue):
        return _text(node.value, function)
    if isinstance(node, ast.Constant):
        return str(node.value)
    if isinstance(node, ast.Name) and node.id in known:
        return str(known[node.id])
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in known:
        return str(getattr(known[node.value.id], node.attr))
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "join":
        return _text(node.func.value, function).join(map(str, known[ast.unparse(node.args[0])]))
    return "…"


def _constant_operands(function: FunctionType) -> list[int]:
    first = [call.args[0] for name, call in _calls(function) if name in CONSTANTS and call.args]
    return [a.value for a in first if isinstance(a, ast.Constant) and isinstance(a.value, int)]


def _kinds(function: FunctionType) -> Iterator[str]:
    """Core operators that are named in calls, or handed to the function that made this one."""
    strings = [v for v in closure(function).values() if isinstance(v, str)]
    for name, call in _calls(function):
        if name not in GETTERS:
            parts = (n for a in call.args for n in ast.walk(a))
            strings += [n.value for n in parts if isinstance(n, ast.Constant) and isinstance(n.value, str)]
    for text in strings:
        yield from (kind for kind in (text, f"reduce_{text}") if kind in OPS)
