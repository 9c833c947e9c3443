"""Checks of a function's operations: what is defined where, what the opset has, what types the table gives."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from edgec.runtime.coreml.evaluate import arguments_of, opset_of
from edgec.runtime.coreml.literals import array_of, check
from edgec.runtime.coreml.operators import row_of, table
from edgec.runtime.coreml.package import Package
from edgec.runtime.coreml.program import (
    Block,
    Function,
    Immediate,
    Named,
    Operation,
    StateType,
    TensorType,
    Value,
    ValueType,
)
from edgec.runtime.coreml.signature import Given, problems, result_types
from edgec.runtime.coreml.wire import PackageError

MAX_RANK = 5  # of tensors that operators compute
IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_@]*")  # MIL.proto
BLOCKS = {"cond": 2, "while_loop": 2}

Scope = dict[str, Given]


def check_function(function: Function, package: Package) -> Iterator[str]:
    """What is wrong with a function, a sentence each."""
    opset = opset_of(function)
    yield from check_values(function.attributes.values(), f"the function '{function.name}'", package)
    scope: Scope = {}
    names: set[str] = set()
    for named in function.inputs:
        yield from _declared(named, names, f"the input '{named.name}'")
        scope[named.name] = Given(named.type, False)
        if isinstance(named.type, StateType) and opset < 8:
            yield f"the state '{named.name}' needs the opset CoreML8, and the function has {function.opset}"
    if function.block.inputs:
        yield "the block of a function has inputs of its own"
    yield from _block(function.block, opset, scope, names, package)
    if not function.block.outputs:
        yield "the function has no outputs"
    if len(set(function.block.outputs)) != len(function.block.outputs):
        yield f"an output is given twice: {', '.join(function.block.outputs)}"


def _declared(named: Named, names: set[str], what: str) -> Iterator[str]:
    if named.name in names:
        yield f"the name '{named.name}' is given twice"
    names.add(named.name)
    if IDENTIFIER.fullmatch(named.name) is None:
        yield f"{what} has a name that is no identifier"


def _block(block: Block, opset: int, scope: Scope, names: set[str], package: Package) -> Iterator[str]:
    yield from check_values(block.attributes.values(), "a block", package)
    for operation in block.operations:
        yield from check_values(operation.attributes.values(), operation.name, package)
        for wrong in _operation(operation, opset, scope, names, package):
            yield f"{operation.name}: {wrong}"
        constant = operation.type == "const" or operation.type.startswith("constexpr_")
        for named in operation.outputs:
            yield from _declared(named, names, f"a result of {operation.name}")
            scope[named.name] = Given(named.type, constant, _text(operation, package) if constant else None)
            if isinstance(named.type, TensorType) and len(named.type.dims) > MAX_RANK and not constant:
                yield f"{operation.name}: '{named.name}' has rank {len(named.type.dims)}, and {MAX_RANK} is the most"
    for name in block.outputs:
        if name not in scope:
            yield f"the output '{name}' is made by nothing"


def _operation(operation: Operation, opset: int, scope: Scope, names: set[str], package: Package) -> Iterator[str]:
    if operation.type == "const":
        yield from _constant(operation, package)
        return
    row = row_of(operation.type, opset)
    if row is None:
        rows = table().get(operation.type)
        yield (
            f"it came with CoreML{rows[0].opset}, and the function has CoreML{opset}"
            if rows
            else "there is no such operator"
        )
        return
    arguments: dict[str, list[Given]] = {}
    for name, given in arguments_of(operation).items():
        found = []
        for argument in given:
            if isinstance(argument, Value):
                yield from check_values([argument], operation.name, package)
                found.append(Given(argument.type, True, _string(argument, operation, package)))
            elif argument in scope:
                found.append(scope[argument])
            else:
                yield f"it uses '{argument}', which nothing before it makes"
                return
        arguments[name] = found
    for wrong in problems(row, arguments):
        later = [r.opset for r in table()[operation.type] if r.opset > opset]
        yield f"{wrong} in CoreML{opset}" if later else wrong
    yield from _results(operation, [*_expected(operation, row_types(operation, opset, arguments), arguments)])
    if len(operation.blocks) != BLOCKS.get(operation.type, 0):
        yield f"it has {len(operation.blocks)} blocks and should have {BLOCKS.get(operation.type, 0)}"
        return
    for block in operation.blocks:
        yield from _inner(operation, block, opset, scope, names, package, arguments)


def row_types(operation: Operation, opset: int, arguments: dict[str, list[Given]]) -> list[str | None]:
    """Names of the result types that the table gives; one wrong count is said as a single name."""
    row = row_of(operation.type, opset)
    assert row is not None
    try:
        return [None if t is None else t.name for t in result_types(row, arguments, len(operation.outputs))]
    except ValueError as error:
        return [str(error)] * max(1, len(operation.outputs))


def _expected(
    operation: Operation, types: Sequence[str | None], arguments: dict[str, list[Given]]
) -> Iterator[tuple[str | None, ValueType | None]]:
    """For each result the element type of the table, or the whole type where a state or list gives it."""
    wrapped: ValueType | None = None
    if operation.type in ("read_state", "write_state") and arguments.get("input"):
        kind = arguments["input"][0].type
        wrapped = kind.wrapped if isinstance(kind, StateType) else None
    if operation.type == "identity" and arguments.get("x"):
        wrapped = arguments["x"][0].type
    for name in types:
        yield name, wrapped


def _results(operation: Operation, expected: Sequence[tuple[str | None, ValueType | None]]) -> Iterator[str]:
    if not operation.outputs and expected and expected[0][0] is not None:
        yield str(expected[0][0])
    for named, (name, whole) in zip(operation.outputs, expected, strict=False):
        declared = named.type.dtype.name if isinstance(named.type, TensorType) else None
        if name is not None and name != declared:
            yield f"it declares '{named.name}' {named.type}, but {'makes ' + name if ' ' not in name else name}"
        if whole is not None and whole != named.type:
            yield f"it declares '{named.name}' {named.type}, but makes {whole}"


def _inner(operation: Operation, block: Block, opset: int, scope: Scope, names: set[str], package: Package,
           arguments: dict[str, list[Given]]) -> Iterator[str]:  # fmt: skip
    """A block within an operation: its inputs are the loop's variables, its outputs the operation's results."""
    inner = dict(scope)
    variables = [g.type for g in arguments.get("loop_vars", [])]
    if [type(n.type) for n in block.inputs] != [type(v) for v in variables]:
        yield f"a block takes {len(block.inputs)} values, the operator gives {len(variables)}"
    for named in block.inputs:
        inner[named.name] = Given(named.type, False)
    yield from _block(block, opset, inner, names, package)
    made = [inner[name].type for name in block.outputs if name in inner]
    if operation.type == "while_loop" and block is operation.blocks[0]:
        if len(made) != 1 or not isinstance(made[0], TensorType) or made[0].dtype.name != "bool":
            yield "the condition of the loop is not one bool"
        return
    declared = [named.type for named in operation.outputs]
    if len(made) != len(declared) or not all(map(_alike, made, declared)):
        yield f"a block makes {', '.join(map(str, made))}, {', '.join(map(str, declared))} is declared"


def _alike(made: ValueType, declared: ValueType) -> bool:
    """Whether a value of one type can be one of the other: unknown sizes fit all."""
    if not isinstance(made, TensorType) or not isinstance(declared, TensorType):
        return type(made) is type(declared)
    if made.any_rank or declared.any_rank or len(made.dims) != len(declared.dims):
        return made.dtype is declared.dtype and (made.any_rank or declared.any_rank)
    return made.dtype is declared.dtype and all(
        None in pair or pair[0] == pair[1] for pair in zip(made.dims, declared.dims, strict=True)
    )


def _constant(operation: Operation, package: Package) -> Iterator[str]:
    value = operation.attributes.get("val")
    if value is None or len(operation.outputs) != 1:
        yield "it must have one result and the attribute 'val'"
        return
    if value.type != operation.outputs[0].type:
        yield f"it is declared {operation.outputs[0].type}, its value is {value.type}"


def check_values(values: Iterable[Value], what: str, package: Package) -> Iterator[str]:
    """Values' bytes against their types: the whole of what reading them may complain about."""
    for value in values:
        if isinstance(value.content, Immediate) and value.content.tensor is None:
            pairs = [side for pair in value.content.pairs for side in pair]
            yield from check_values([*value.content.items, *pairs], what, package)
            continue
        try:
            check(value, package, what)
        except PackageError as error:
            yield str(error)


def _text(operation: Operation, package: Package) -> str | None:
    value = operation.attributes.get("val")
    return None if value is None else _string(value, operation, package)


def _string(value: Value, operation: Operation, package: Package) -> str | None:
    """A constant of one element as text, as the evaluator sees it."""
    if not isinstance(value.type, TensorType) or np.prod([d or 0 for d in value.type.dims]) != 1:
        return None
    try:
        return str(array_of(value, package, operation.name).reshape(-1)[0])
    except PackageError:
        return None  # said where the constant stands
