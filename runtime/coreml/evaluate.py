"""`Evaluator`: runs a function of a package on numpy arrays, operator by operator.

Values declared fp16 are computed in float32 and rounded once per operator, or with `halves=False` kept in float32
throughout. What an operator computes must have the declared shape and the element type that its operands give: an
EvaluationError names the operator. Constants and compressed weights are made once and kept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from edgec.runtime.coreml.call import Call, Item, ListValue, Operand, StateCell, shaped
from edgec.runtime.coreml.datatypes import FP16, DataType
from edgec.runtime.coreml.literals import array_of
from edgec.runtime.coreml.meanings import REFUSED, meanings
from edgec.runtime.coreml.operators import row_of
from edgec.runtime.coreml.package import Package
from edgec.runtime.coreml.program import (
    Block,
    DictionaryType,
    Function,
    ListType,
    Named,
    Operation,
    StateType,
    TensorType,
    Value,
)
from edgec.runtime.coreml.signature import Given, problems, result_types
from edgec.runtime.coreml.wire import Array, PackageError

OPSETS = {f"CoreML{n}": n for n in range(5, 10)}
MAX_ITERATIONS = 1_000_000  # of all loops of a call: loops within loops multiply

Observer = Callable[[Operation, str, Array], None]
Environment = dict[str, Operand]


class EvaluationError(PackageError):
    """An operator cannot be computed, or its result is not what the program declares."""


class Evaluator:
    """One function of a package with its states, all zeros at first.

    `observe` is called with (operation, output name, array) for every tensor that an operator makes, constants
    apart."""

    def __init__(
        self, package: Package, function: str | None = None, *, halves: bool = True, observe: Observer | None = None
    ) -> None:
        self.package = package
        self.interface = package.description.function(function)
        self.function = function_of(package, self.interface.name)
        self.halves = halves
        self.observe = observe
        self.opset = opset_of(self.function)
        self.meanings = meanings()
        self.constants: Environment = {}
        self.states: dict[str, StateCell] = {}
        self.iterations = 0
        self.last_uses = _last_uses(self.function.block)
        self.reset()

    def reset(self) -> None:
        """Every state holds zeros again."""
        for name, kind in states_of(self.function):
            shape = shaped([int(d or 0) for d in kind.dims], f"the state '{name}' {kind}")
            self.states[name] = StateCell(np.zeros(shape, self._memory(kind.dtype)))

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Item]:
        """The block's outputs by name, for arrays of the declared shapes by input name."""
        block = self.function.block
        environment: Environment = {}
        self.iterations = 0
        for named in self.function.inputs:
            if isinstance(named.type, StateType):
                environment[named.name] = Operand(self.states[named.name], named.type)
            elif named.name not in inputs:
                raise EvaluationError(f"the input '{named.name}' {named.type} is missing")
            else:
                environment[named.name] = self._input(named, inputs[named.name])
        with np.errstate(all="ignore"):
            self._operations(block, environment, self.last_uses)
        return {name: _found(environment, name, "the function").item for name in block.outputs}

    def _input(self, named: Named, array: Array) -> Operand:
        if not isinstance(named.type, TensorType):
            raise EvaluationError(f"the input '{named.name}' is a {named.type}, which cannot be given")
        if not named.type.takes(array.shape):
            raise EvaluationError(f"the input '{named.name}' {named.type} was given the shape {list(array.shape)}")
        return Operand(array.astype(self._memory(named.type.dtype)), named.type)

    def _memory(self, dtype: DataType) -> np.dtype[Any]:
        """How values of a type lie in memory."""
        return np.dtype(np.float32) if dtype is FP16 and not self.halves else dtype.numpy

    def _operations(self, block: Block, environment: Environment, last: Mapping[int, Sequence[str]] | None) -> None:
        for i, operation in enumerate(block.operations):
            names = [named.name for named in operation.outputs]
            if last is not None and names and all(name in self.constants for name in names):
                environment.update((name, self.constants[name]) for name in names)
                continue
            made = self._operation(operation, environment)
            environment.update(zip(names, made, strict=True))
            if last is not None:
                if made and all(operand.constant for operand in made):
                    self.constants.update(zip(names, made, strict=True))
                for name in last.get(i, ()):
                    environment.pop(name, None)

    def _operation(self, operation: Operation, environment: Environment) -> list[Operand]:
        if operation.type == "const":
            return [self._constant(operation)]
        row = row_of(operation.type, self.opset)
        if row is None:
            raise EvaluationError(f"{operation.name}: the opset CoreML{self.opset} has no operator of that name")
        operands = {
            name: tuple(self._argument(a, environment, operation) for a in arguments)
            for name, arguments in arguments_of(operation).items()
        }
        given = {name: [_given(o) for o in found] for name, found in operands.items()}
        wrong = problems(row, given)
        if wrong:
            raise EvaluationError(f"{operation.name}: {wrong[0]}")
        try:
            dtypes = result_types(row, given, len(operation.outputs))
            call = Call(operation, self.opset, operands, tuple(dtypes))
            made = self._computed(call, environment)
        except EvaluationError:
            raise
        except (ValueError, IndexError, TypeError, OverflowError, ZeroDivisionError, MemoryError) as error:
            raise EvaluationError(f"{operation.name}: {error}") from error
        if len(made) != len(operation.outputs):
            raise EvaluationError(f"{operation.name} makes {len(made)} results, {len(operation.outputs)} are declared")
        constant = operation.type.startswith("constexpr_")
        stored = [
            Operand(self._stored(operation, named, item, dtype), named.type, constant)
            for named, item, dtype in zip(operation.outputs, made, dtypes, strict=True)
        ]
        if self.observe is not None and not constant:
            for named, operand in zip(operation.outputs, stored, strict=True):
                if isinstance(operand.item, np.ndarray):
                    self.observe(operation, named.name, operand.item)
        return stored

    def _computed(self, call: Call, environment: Environment) -> tuple[Item, ...]:
        operation = call.operation
        if operation.type in ("cond", "while_loop") and len(operation.blocks) != 2:
            raise ValueError(f"it has {len(operation.blocks)} blocks and should have 2")
        if operation.type == "cond":
            block = operation.blocks[0 if call.flag("pred") else 1]
            return tuple(o.item for o in self._nested(block, environment, []))
        if operation.type == "while_loop":
            return self._loop(call, environment)
        meaning = self.meanings.get(operation.type)
        if meaning is None:
            why = REFUSED.get(operation.type, "it has no meaning here")
            raise EvaluationError(f"{operation.name} cannot be evaluated: {why}")
        made = meaning(call)
        return made if isinstance(made, tuple) else (made,)

    def _loop(self, call: Call, environment: Environment) -> tuple[Item, ...]:
        condition, body = call.operation.blocks
        carried = list(call.operands.get("loop_vars", ()))
        while self.iterations < MAX_ITERATIONS:
            self.iterations += 1
            (going,) = self._nested(condition, environment, carried)
            if not isinstance(going.item, np.ndarray) or going.item.size != 1:
                raise ValueError("its condition is no scalar")
            if not going.item.reshape(-1)[0]:
                return tuple(o.item for o in carried)
            carried = self._nested(body, environment, carried)
        raise ValueError(f"the loops of one call do not end within {MAX_ITERATIONS:,} iterations")

    def _nested(self, block: Block, environment: Environment, arguments: Sequence[Operand]) -> list[Operand]:
        """The outputs of a block inside an operation; it sees what is around it."""
        if len(block.inputs) != len(arguments):
            raise ValueError(f"a block takes {len(block.inputs)} values and gets {len(arguments)}")
        inner = dict(environment)
        for named, argument in zip(block.inputs, arguments, strict=True):
            shape = argument.item.shape if isinstance(argument.item, np.ndarray) else ()
            if isinstance(named.type, TensorType) and not named.type.takes(shape):
                raise ValueError(f"'{named.name}' {named.type} gets the shape {list(shape)}")
            inner[named.name] = Operand(argument.item, named.type)
        self._operations(block, inner, None)
        return [_found(inner, name, "a block") for name in block.outputs]

    def _constant(self, operation: Operation) -> Operand:
        if len(operation.outputs) != 1 or "val" not in operation.attributes:
            raise EvaluationError(f"{operation.name} must have one result and the attribute 'val'")
        value, declared = operation.attributes["val"], operation.outputs[0].type
        if value.type != declared:
            raise EvaluationError(f"{operation.name} is declared {declared}, its value is {value.type}")
        return self._literal(value, operation.name)

    def _argument(self, argument: str | Value, environment: Environment, operation: Operation) -> Operand:
        if isinstance(argument, Value):
            return self._literal(argument, operation.name)
        return _found(environment, argument, operation.name)

    def _literal(self, value: Value, what: str) -> Operand:
        if isinstance(value.type, ListType):
            items = getattr(value.content, "items", ())
            return Operand(ListValue(tuple(array_of(v, self.package, what) for v in items)), value.type, True)
        return Operand(array_of(value, self.package, what), value.type, True)

    def _stored(self, operation: Operation, named: Named, item: Item, dtype: DataType | None) -> Item:
        """A result as the rest of the program sees it, after comparing it with its declaration."""
        where = f"{operation.name} declares '{named.name}' {named.type}"
        if isinstance(named.type, ListType | DictionaryType):
            if isinstance(item, np.ndarray):
                raise EvaluationError(f"{where} but makes a tensor")
            return item
        array = np.asarray(item) if np.isscalar(item) else item
        if not isinstance(named.type, TensorType) or not isinstance(array, np.ndarray):
            raise EvaluationError(f"{where}, which is not what it makes")
        declared = named.type.dtype
        if dtype is not None and dtype is not declared:
            raise EvaluationError(f"{where} but makes {dtype}")
        if not named.type.takes(array.shape):
            raise EvaluationError(f"{where} but makes the shape {list(array.shape)}")
        if (array.dtype.kind == "f") != declared.real and declared.name not in ("bf16", "fp8e4m3fn", "fp8e5m2"):
            raise EvaluationError(f"{where} but makes {array.dtype}")
        return np.ascontiguousarray(array.astype(self._memory(declared), copy=False)).reshape(array.shape)


def function_of(package: Package, name: str) -> Function:
    functions = package.program.functions
    if name not in functions:
        raise PackageError(f"the program has no function '{name}'; it has {', '.join(sorted(functions)) or 'none'}")
    return functions[name]


def opset_of(function: Function) -> int:
    if function.opset not in OPSETS:
        raise PackageError(
            f"function '{function.name}' has the opset '{function.opset}'; known are {', '.join(OPSETS)}"
        )
    return OPSETS[function.opset]


def states_of(function: Function) -> list[tuple[str, TensorType]]:
    """The states of a function; they must have fixed shapes."""
    found = []
    for named in function.inputs:
        if isinstance(named.type, StateType):
            kind = named.type.wrapped
            if not isinstance(kind, TensorType) or None in kind.dims:
                raise PackageError(f"the state '{named.name}' is no tensor of a fixed shape: {named.type}")
            found.append((named.name, kind))
    return found


def arguments_of(operation: Operation) -> dict[str, tuple[str | Value, ...]]:
    """All arguments by parameter. Up to CoreML7 those of compressed constants are attributes."""
    found = dict(operation.inputs)
    if operation.type.startswith("constexpr_"):
        found.update((name, (value,)) for name, value in operation.attributes.items() if name != "name")
    return found


def _given(operand: Operand) -> Given:
    text = None
    if operand.constant and isinstance(operand.item, np.ndarray) and operand.item.size == 1:
        text = str(operand.item.reshape(-1)[0])
    return Given(operand.type, operand.constant, text)


def _found(environment: Environment, name: str, user: str) -> Operand:
    if name not in environment:
        raise EvaluationError(f"{user} uses '{name}', which nothing before it makes")
    return environment[name]


def names_used(block: Block) -> Iterator[tuple[int, str]]:
    """(index of the operation, name) for every name that an operation or a block within it uses."""
    for i, operation in enumerate(block.operations):
        for arguments in operation.inputs.values():
            yield from ((i, a) for a in arguments if isinstance(a, str))
        for inner in operation.blocks:
            yield from ((i, name) for _, name in names_used(inner))
            yield from ((i, name) for name in inner.outputs)


def _last_uses(block: Block) -> dict[int, list[str]]:
    """Names that nobody needs after an operation."""
    last = {name: i for i, name in names_used(block)}
    found: dict[int, list[str]] = {}
    for name, i in last.items():
        if name not in block.outputs:
            found.setdefault(i, []).append(name)
    return found
