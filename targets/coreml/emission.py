"""The context of emission: from values of the graph to variables of a MIL function.

A route (routes/) makes the results of one operator from its operands:

    def relu(e: Emission, op: Op) -> Var:
        return e.mil("relu", x=e.operand(op, 0))

Floats are computed in f32 or f16, as `halves` says of each operator; where two operators differ, a cast stands between
them. Integers of 64 bits are int32 here: constants are checked, values at run time wrap as Core ML's do.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

import numpy as np

from edgec.ir.graph import Graph, Op, Value
from edgec.ir.ops import OPS
from edgec.ir.types import FLOATS, INTEGERS
from edgec.targets.apple.features import LACKS
from edgec.targets.coreml.compressed import constant
from edgec.targets.coreml.deployment import Deployment
from edgec.targets.coreml.mil import Var, mb, types
from edgec.targets.coreml.ranks import MOST_RANK, broadcasted, held, reshaped
from edgec.targets.coreml.refusal import NoRoute as NoRoute

Array = np.ndarray[Any, Any]
LARGEST_HALF = 65504.0
FIRST_BEYOND = 65520.0  # what rounds to infinity
CAST = {"f32": "fp32", "f16": "fp16", "i32": "int32", "bool": "bool"}
NUMPY = {"f32": np.float32, "f16": np.float16, "i32": np.int32, "bool": np.bool_}


class Emission:
    """`wide` are the operators that compute in float32 where the rest computes in halves (`halves`); `features` are
    names of the interface, which no variable inside may have."""

    def __init__(
        self, graph: Graph, deployment: Deployment, halves: bool, wide: Collection[Op], features: Collection[str]
    ) -> None:
        self.graph = graph
        self.deployment = deployment
        self.halves = halves
        self.wide = frozenset(wide)
        self.features = frozenset(features)
        self.float = "f32"  # what the operator that is being emitted computes in
        self.origins: dict[str, Op] = {}  # whose part a variable is, by its name
        self.readers = graph.users()
        self.notes: list[str] = []  # what whoever builds should know, in the order of the graph
        self.results: dict[Value, str] = {}  # names of the variables that values are
        self._op: Op | None = None
        self._vars: dict[tuple[Value, str], Var] = {}
        self._made: dict[Value, str] = {}  # the dtype in which a value was made
        self._names: dict[str, int] = {}

    def begin(self, op: Op) -> None:
        """The operator whose route comes next."""
        self._op = op
        self.float = "f16" if self.halves and op not in self.wide else "f32"

    # --- operands -----------------------------------------------------------------------------------------------

    def operand(self, op: Op, i: int, dtype: str | None = None) -> Var:
        """Operand i, which must be present; floats in the dtype that the operator computes in, or in `dtype`. Of what
        works on single elements of more axes than Core ML has, as the result is held."""
        value = op.arg(i)
        if op.results[0].type.rank > MOST_RANK and OPS[op.kind].family == "elementwise":
            return broadcasted(self, self.held(value, dtype), value.type.dims, op.results[0].type.dims)
        return self.value(value, dtype)

    def optional(self, op: Op, i: int) -> Var | None:
        """Operand i, or None where it is absent."""
        value = op.inputs[i] if i < len(op.inputs) else None
        return None if value is None else self.value(value)

    def array(self, op: Op, i: int) -> Array | None:
        """Operand i as an array where it is a constant without encodings."""
        value = op.inputs[i] if i < len(op.inputs) else None
        if value is None or value.const is None or value.type.encodings:
            return None
        return np.asarray(self.graph.array(value))

    def value(self, value: Value, dtype: str | None = None) -> Var:
        """A value as a variable of `dtype`: its own kind's where None. NoRoute where it has too many axes."""
        if value.type.rank > MOST_RANK:
            raise NoRoute(f"has {value.type} as an operand, and Core ML's tensors have at most {MOST_RANK} axes")
        return self.held(value, dtype)

    def held(self, value: Value, dtype: str | None = None) -> Var:
        """The same, with more than five axes as `ranks` holds them."""
        if not value.type.size:
            raise NoRoute(f"has {value.type} as an operand, and Core ML has no empty tensors")
        wanted = dtype or self.dtype_of(value)
        if (value, wanted) not in self._vars:
            self._vars[value, wanted] = self._new(value, wanted)
        return self._vars[value, wanted]

    def _new(self, value: Value, wanted: str) -> Var:
        if value.const is not None:
            if value.type.encodings:
                return constant(self, value, wanted)
            return self.const(np.reshape(self.graph.array(value), held(value.type.dims)), wanted)
        return self.cast(self._vars[value, self._made[value]], wanted)

    def dtype_of(self, value: Value) -> str:
        """What a value is here: the floats of the operator being emitted, int32 or bool."""
        return self.dtype_named(value.type.dtype)

    def dtype_named(self, dtype: str) -> str:
        """The same for a dtype of the IR. Doubles and bf16 have no place in Core ML (`refuse`)."""
        if dtype in FLOATS:
            return self.float
        return "i32" if dtype in INTEGERS else dtype

    # --- making variables -----------------------------------------------------------------------------------------

    def mil(self, kind: str, **inputs: Any) -> Any:
        """The result (or results) of a MIL operator of the deployment target's operator set; absent operands are None.
        An operand may be a Var, a list of them, or what numpy takes as a constant parameter."""
        given = {name: x for name, x in inputs.items() if x is not None}
        name = given.pop("name", None) or self.name(kind)
        made = getattr(mb, kind)(**given, name=name)
        if self._op is not None:
            self.origins |= {var.name: self._op for var in (made if isinstance(made, (list, tuple)) else (made,))}
        return made

    def const(self, array: Array | float | int, dtype: str | None = None) -> Var:
        """A constant; floats as the operator computes, integers as int32 where they fit."""
        given = np.asarray(array)
        wanted = dtype or self._natural(given)
        return mb.const(val=self.as_dtype(given, wanted), name=self.name("const"))

    def as_dtype(self, array: Array, dtype: str) -> Array:
        """NoRoute for numbers that the dtype does not hold."""
        if dtype == "i32" and array.size and array.dtype.kind in "iu":
            info = np.iinfo(np.int32)
            low, high = int(array.min()), int(array.max())
            if low < info.min or high > info.max:
                beyond = low if low < info.min else high
                raise NoRoute(f"has the integer {beyond} as a constant, and Core ML's integers have 32 bits")
        if dtype == "f16" and array.size and array.dtype.kind == "f":
            finite = np.abs(array[np.isfinite(array)])
            if finite.size and float(finite.max()) >= FIRST_BEYOND:
                raise NoRoute(
                    f"has {float(finite.max()):.6g} among its constants, and halves end at {LARGEST_HALF:.0f}: "
                    "build with --fix, or with --precision float32"
                )
        # numpy scalars stay scalars: MIL tells rank 0 from rank 1
        with np.errstate(over="ignore"):
            return np.asarray(array, NUMPY[dtype])[()]

    def _natural(self, array: Array) -> str:
        if array.dtype.kind == "f":
            return self.float
        return "bool" if array.dtype.kind == "b" else "i32"

    def cast(self, x: Var, dtype: str) -> Var:
        """`x` in a dtype (f32, f16, i32, bool); itself where it is that already."""
        wanted = CAST[dtype]
        return x if dtype_of(x) == dtype else self.mil("cast", x=x, dtype=wanted)

    def name(self, kind: str) -> str:
        """A new name within the function; the same in each build. coremltools names an operator's own constants after
        it: `relu_0_x_0`."""
        number = self._names.get(kind, 0)
        while any(f"{feature}_".startswith(f"{kind}_{number}_") for feature in self.features):
            number += 1
        self._names[kind] = number + 1
        return f"{kind}_{number}"

    def note(self, sentence: str) -> None:
        """Once for all."""
        if sentence not in self.notes:
            self.notes.append(sentence)

    # --- results ----------------------------------------------------------------------------------------------

    def bind(self, value: Value, var: Var) -> None:
        """`var` is the value, in the dtype that it has; halves of the model are rounded whatever computed them."""
        if value.type.rank > MOST_RANK:
            var = reshaped(self, var, held(value.type.dims))
        shape = tuple(int(d) for d in var.shape)
        assert shape == held(value.type.dims), f"{value} became {shape}"
        if value.type.dtype == "f16":
            var = self.cast(var, "f16")
        dtype = dtype_of(var)
        self._vars[value, dtype] = var
        self._made[value] = dtype
        self.results[value] = var.name

    def made(self, value: Value) -> Var:
        """A value in the dtype in which it was made."""
        return self.held(value, self._made.get(value))

    def stand_in(self, value: Value) -> Var:
        """A variable of a value's type, for one that cannot be made; floats where Core ML lacks the element type, whose
        readers are refused as well."""
        dtype = self.float if value.type.dtype in LACKS else self.dtype_of(value)
        if not value.type.shape:
            return self.const(0, dtype)
        return self.mil("fill", shape=list(held(value.type.dims)), value=self.as_dtype(np.asarray(0), dtype))


Route = Callable[[Emission, Op], Any]  # the result, or the list of results, as variables


def dtype_of(x: Var) -> str:
    """f32, f16, i32, bool, or coremltools' name of another."""
    name = str(types.builtin_to_string(x.dtype))
    return {"fp32": "f32", "fp16": "f16", "int32": "i32"}.get(name, name)
