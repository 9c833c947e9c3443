"""Element-wise operators: unary, binary with numpy broadcasting, where, cast."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from edgec.ir.errors import IRError
from edgec.ir.narrow import ROUND_MODES, narrowed, widened
from edgec.ir.ops import row_rules
from edgec.ir.ops.row import REQUIRED, Attrs, OpRow
from edgec.ir.types import DTYPES, FLOATS, INTEGERS, NARROW, SIGNED, WIDE, Type, bits_of, dtype_name

Array = np.ndarray[Any, Any]
_HALF = (DTYPES["f16"], DTYPES["bf16"])


def _wide(x: Array) -> Array:
    """Half floats are computed in float32 and rounded once."""
    return x.astype(np.float32) if x.dtype in _HALF else x


def erf(x: Array) -> Array:
    """Error function in the array's own precision (math.erf, element by element on unique values)."""
    flat, back = np.unique(x.astype(np.float64).ravel(), return_inverse=True)
    values = np.fromiter((math.erf(v) for v in flat), np.float64, len(flat))
    return np.asarray(values[back].reshape(x.shape).astype(x.dtype))


def _sigmoid(x: Array) -> Array:
    e = np.exp(-np.abs(x))
    return np.where(x >= 0, 1 / (1 + e), e / (1 + e)).astype(x.dtype)


def _softplus(x: Array) -> Array:
    return np.asarray(np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))).astype(x.dtype)


def _gelu_tanh(x: Array) -> Array:
    c = x.dtype.type(math.sqrt(2 / math.pi))
    return np.asarray(x * x.dtype.type(0.5) * (1 + np.tanh(c * (x + x.dtype.type(0.044715) * x * x * x)))).astype(
        x.dtype
    )


UNARY: dict[str, tuple[frozenset[str], Callable[[Array], Array]]] = {
    "neg": (FLOATS | INTEGERS, np.negative),
    "abs": (FLOATS | INTEGERS, np.abs),
    "sign": (FLOATS | INTEGERS, np.sign),
    "exp": (FLOATS, np.exp),
    "log": (FLOATS, np.log),
    "sqrt": (FLOATS, np.sqrt),
    "rsqrt": (FLOATS, lambda x: 1 / np.sqrt(x)),
    "reciprocal": (FLOATS, lambda x: 1 / x),
    "sin": (FLOATS, np.sin),
    "cos": (FLOATS, np.cos),
    "tan": (FLOATS, np.tan),
    "asin": (FLOATS, np.arcsin),
    "acos": (FLOATS, np.arccos),
    "atan": (FLOATS, np.arctan),
    "sinh": (FLOATS, np.sinh),
    "cosh": (FLOATS, np.cosh),
    "tanh": (FLOATS, np.tanh),
    "asinh": (FLOATS, np.arcsinh),
    "acosh": (FLOATS, np.arccosh),
    "atanh": (FLOATS, np.arctanh),
    "erf": (FLOATS, erf),
    "sigmoid": (FLOATS, _sigmoid),
    "floor": (FLOATS, np.floor),
    "ceil": (FLOATS, np.ceil),
    "round": (FLOATS, np.rint),
    "relu": (FLOATS | INTEGERS, lambda x: np.maximum(x, x.dtype.type(0))),
    "softplus": (FLOATS, _softplus),
    "softsign": (FLOATS, lambda x: x / (1 + np.abs(x))),
    "gelu": (FLOATS, lambda x: x * (x.dtype.type(0.5) * (1 + erf(x * x.dtype.type(math.sqrt(0.5)))))),
    "gelu_tanh": (FLOATS, _gelu_tanh),
    "silu": (FLOATS, lambda x: x * _sigmoid(x)),
    "hard_swish": (FLOATS, lambda x: x * np.clip(x * x.dtype.type(1 / 6) + x.dtype.type(0.5), 0, 1)),
    "mish": (FLOATS, lambda x: x * np.tanh(_softplus(x))),
    "not": (frozenset({"bool"}), np.logical_not),
    "bit_not": (INTEGERS, np.invert),
}


def _clip(x: Array, a: Attrs) -> Array:
    lo, hi = float(a["lo"]), float(a["hi"])  # type: ignore[arg-type]
    if x.dtype.kind in "iu":
        limits = np.iinfo(x.dtype)
        low = limits.min if lo <= limits.min else int(lo)
        high = limits.max if hi >= limits.max else int(hi)
        return np.asarray(np.minimum(np.maximum(x, x.dtype.type(low)), x.dtype.type(high)))
    return np.asarray(np.minimum(np.maximum(x, x.dtype.type(lo)), x.dtype.type(hi)))


def _elu(x: Array, a: Any) -> Array:
    return np.asarray(np.where(x > 0, x, a["alpha"] * np.expm1(np.minimum(x, 0)))).astype(x.dtype)


def _selu(x: Array, a: Any) -> Array:
    return np.asarray(a["gamma"] * np.where(x > 0, x, a["alpha"] * np.expm1(np.minimum(x, 0)))).astype(x.dtype)


PARAMETRIC: dict[str, tuple[Any, Callable[[Array, Any], Array]]] = {
    "clip": ({"lo": -math.inf, "hi": math.inf}, _clip),
    "leaky_relu": ({"alpha": 0.01}, lambda x, a: np.where(x >= 0, x, x * x.dtype.type(a["alpha"]))),
    "elu": ({"alpha": 1.0}, _elu),
    "selu": ({"alpha": 1.6732632423543772, "gamma": 1.0507009873554805}, _selu),
    "hard_sigmoid": (
        {"alpha": 0.2, "beta": 0.5},
        lambda x, a: np.clip(x * x.dtype.type(a["alpha"]) + x.dtype.type(a["beta"]), 0, 1),
    ),
}


def _div(a: Array, b: Array) -> Array:
    if a.dtype.kind not in "iu":
        return a / b
    safe = np.where(b == 0, b.dtype.type(1), b)
    quotient = np.floor_divide(a, safe)
    if a.dtype.kind == "i":
        quotient = quotient + ((np.remainder(a, safe) != 0) & ((a < 0) != (safe < 0)))
    return np.where(b == 0, a.dtype.type(0), quotient).astype(a.dtype)


def _shift(left: bool) -> Callable[[Array, Array], Array]:
    def shift(a: Array, b: Array) -> Array:
        bits = 8 * a.dtype.itemsize
        legal = (b >= 0) & (b < bits)
        by = np.where(legal, b, 0).astype(a.dtype)
        return np.where(legal, a << by if left else a >> by, 0).astype(a.dtype)

    return shift


def _pow(a: Array, b: Array) -> Array:
    if a.dtype.kind not in "iu":
        return np.asarray(a**b)
    # whole powers wrap; a negative exponent leaves what 1 / a truncates to
    whole = np.power(a, np.where(b < 0, 0, b).astype(b.dtype))
    rest = np.where(a == 1, 1, np.where((a == a.dtype.type(0) - 1) & (a < 0), 1 - 2 * (b & 1), 0))
    return np.where(b < 0, rest, whole).astype(a.dtype)


_NUMBERS = FLOATS | INTEGERS
_BOOL = frozenset({"bool"})
BINARY: dict[str, tuple[frozenset[str], Callable[[Array, Array], Array]]] = {
    "add": (_NUMBERS, np.add),
    "sub": (_NUMBERS, np.subtract),
    "mul": (_NUMBERS, np.multiply),
    "div": (_NUMBERS, _div),
    "pow": (_NUMBERS, _pow),
    "min": (_NUMBERS, np.minimum),
    "max": (_NUMBERS, np.maximum),
    "mod": (_NUMBERS, np.mod),
    "fmod": (_NUMBERS, np.fmod),
    "prelu": (_NUMBERS, lambda x, slope: np.where(x >= 0, x, x * slope)),
    "and": (_BOOL, np.logical_and),
    "or": (_BOOL, np.logical_or),
    "xor": (_BOOL, np.logical_xor),
    "bit_and": (INTEGERS, np.bitwise_and),
    "bit_or": (INTEGERS, np.bitwise_or),
    "bit_xor": (INTEGERS, np.bitwise_xor),
    "shl": (INTEGERS, _shift(True)),
    "shr": (INTEGERS, _shift(False)),
}
COMPARE: dict[str, Callable[[Array, Array], Array]] = {
    "eq": np.equal,
    "ne": np.not_equal,
    "lt": np.less,
    "le": np.less_equal,
    "gt": np.greater,
    "ge": np.greater_equal,
}


def activate(x: Array, act: str) -> Array:
    """A fused activation by its name on conv, matmul and add."""
    if not act:
        return x
    name, *numbers = act.split(":")
    if name == "relu6":
        return _clip(x, {"lo": 0.0, "hi": 6.0})
    if name == "clip":
        return _clip(x, {"lo": float(numbers[0]), "hi": float(numbers[1])})
    if name == "leaky":
        return PARAMETRIC["leaky_relu"][1](x, {"alpha": float(numbers[0])})
    if name == "hard_sigmoid":
        return PARAMETRIC["hard_sigmoid"][1](x, {"alpha": 1 / 6, "beta": 0.5})
    return UNARY[name][1](x)


ACTIVATIONS = frozenset(
    {"", "relu", "relu6", "hard_swish", "hard_sigmoid", "silu", "sigmoid", "gelu", "gelu_tanh", "tanh"}
)


def check_activation(kind: str, attrs: Attrs) -> None:
    act = str(attrs["act"])
    try:
        numbers = [float(n) for n in act.split(":")[1:]]
    except ValueError:
        numbers = []
    if (
        act in ACTIVATIONS
        or (act.startswith("clip:") and len(numbers) == 2)
        or (act[:6] == "leaky:" and len(numbers) == 1)
    ):
        return
    raise IRError(
        f"{kind} has no fused activation {act!r}; legal: {', '.join(sorted(ACTIVATIONS))}, clip:LO:HI, leaky:A"
    )


def operand(types: Sequence[Type | None], i: int, kind: str) -> Type:
    """Type of a required operand."""
    if i >= len(types) or types[i] is None:
        raise IRError(f"{kind} needs operand {i}")
    found = types[i]
    assert found is not None
    return found


def computed(types: Sequence[Type | None], i: int, kind: str) -> Type:
    """The same of one whose numbers are compared or computed with."""
    found = operand(types, i, kind)
    if found.dtype in NARROW:
        raise IRError(f"{kind} does not take {found.dtype}, which must be cast; legal: {', '.join(sorted(WIDE))}")
    return found


def broadcast(kind: str, *types: Type) -> tuple[int, ...]:
    try:
        return np.broadcast_shapes(*(t.dims for t in types))
    except ValueError:
        raise IRError(f"{kind}: the shapes {' and '.join(str(t) for t in types)} do not broadcast") from None


def _same_dtype(kind: str, legal: frozenset[str], *types: Type) -> None:
    for t in types:
        if t.dtype not in legal:
            raise IRError(f"{kind} does not take {t.dtype}; legal: {', '.join(sorted(legal))}")
        if t.dtype != types[0].dtype:
            raise IRError(f"{kind}: operands have different dtypes {types[0].dtype} and {t.dtype}")


def _rounded(function: Callable[..., Array]) -> Callable[[Sequence[Any], Any], list[Array]]:
    def evaluate(arrays: Sequence[Any], _: Any) -> list[Array]:
        with np.errstate(all="ignore"):
            return [np.asarray(function(*map(_wide, arrays))).astype(arrays[0].dtype, copy=False)]

    return evaluate


def _unary(kind: str) -> OpRow:
    legal, function = UNARY[kind]

    def infer(types: Sequence[Type | None], _: Attrs) -> list[Type]:
        x = operand(types, 0, kind)
        _same_dtype(kind, legal, x)
        return [x]

    return OpRow(kind, "elementwise", (1, 1), infer, _rounded(function), rows=row_rules.elementwise)


def _parametric(kind: str) -> OpRow:
    attrs, function = PARAMETRIC[kind]
    legal = _NUMBERS if kind == "clip" else FLOATS

    def infer(types: Sequence[Type | None], _: Attrs) -> list[Type]:
        x = operand(types, 0, kind)
        _same_dtype(kind, legal, x)
        return [x]

    def evaluate(arrays: Sequence[Any], a: Any) -> list[Array]:
        with np.errstate(all="ignore"):
            return [np.asarray(function(_wide(arrays[0]), a)).astype(arrays[0].dtype, copy=False)]

    return OpRow(kind, "elementwise", (1, 1), infer, evaluate, attrs, rows=row_rules.elementwise)


def _binary(kind: str) -> OpRow:
    legal, function = BINARY[kind]
    attrs: Any = {"act": ""} if kind == "add" else {}

    def infer(types: Sequence[Type | None], a: Attrs) -> list[Type]:
        x, y = operand(types, 0, kind), operand(types, 1, kind)
        _same_dtype(kind, legal, x, y)
        if kind == "add":
            check_activation(kind, a)
        return [Type(x.dtype, broadcast(kind, x, y))]

    plain = _rounded(function)

    def evaluate(arrays: Sequence[Any], a: Any) -> list[Array]:
        result = plain(arrays, a)[0]
        if a.get("act"):
            with np.errstate(all="ignore"):
                return [activate(_wide(result), a["act"]).astype(result.dtype, copy=False)]
        return [result]

    return OpRow(kind, "elementwise", (2, 2), infer, evaluate, attrs, rows=row_rules.elementwise)


def _compare(kind: str) -> OpRow:
    function = COMPARE[kind]

    def infer(types: Sequence[Type | None], _: Attrs) -> list[Type]:
        x, y = operand(types, 0, kind), operand(types, 1, kind)
        _same_dtype(kind, WIDE, x, y)
        return [Type("bool", broadcast(kind, x, y))]

    return OpRow(
        kind, "elementwise", (2, 2), infer, lambda v, _: [np.asarray(function(_wide(v[0]), _wide(v[1])))],
        rows=row_rules.elementwise,
    )


def _infer_where(types: Sequence[Type | None], _: Attrs) -> list[Type]:
    cond, a, b = (operand(types, i, "where") for i in range(3))
    _same_dtype("where", _BOOL, cond)
    _same_dtype("where", frozenset(DTYPES), a, b)
    return [Type(a.dtype, broadcast("where", cond, a, b))]


def _infer_cast(types: Sequence[Type | None], attrs: Attrs) -> list[Type]:
    if attrs["to"] not in DTYPES:
        raise IRError(f"cast has no dtype {attrs['to']}; legal: {', '.join(DTYPES)}")
    if attrs["round_mode"] not in ROUND_MODES:
        raise IRError(f"cast has no round_mode {attrs['round_mode']}; legal: {', '.join(ROUND_MODES)}")
    return [Type(str(attrs["to"]), operand(types, 0, "cast").shape)]


def cast(x: Array, to: str, saturate: bool = True, round_mode: str = "up") -> Array:
    """ONNX Cast: a float goes to an integer by truncation, to bool by != 0; integers wrap. `saturate` is for 8-bit
    floats, `round_mode` for float8e8m0."""
    with np.errstate(all="ignore"):
        if dtype_name(x.dtype) in NARROW:
            x = widened(x, dtype_name(x.dtype))
        if to in NARROW:
            return narrowed(x, to, saturate, round_mode)
        if to == "bool":
            return np.asarray(x != 0)
        if x.dtype in _HALF:
            x = x.astype(np.float32)
        return x.astype(DTYPES[to])


def _infer_bitcast(types: Sequence[Type | None], attrs: Attrs) -> list[Type]:
    x, to = operand(types, 0, "bitcast"), str(attrs["to"])
    if to not in DTYPES or bits_of(to) != bits_of(x.dtype) or "bool" in (to, x.dtype):
        raise IRError(f"bitcast cannot read {x.dtype} as {to}; numbers of one width are legal")
    return [Type(to, x.shape)]


def _infer_test(kind: str) -> Callable[[Sequence[Type | None], Attrs], list[Type]]:
    def infer(types: Sequence[Type | None], _: Attrs) -> list[Type]:
        x = operand(types, 0, kind)
        _same_dtype(kind, FLOATS, x)
        return [Type("bool", x.shape)]

    return infer


def _is_inf(v: Sequence[Any], a: Any) -> list[Array]:
    x = _wide(v[0])
    return [np.asarray((x == np.inf) & a["positive"] | (x == -np.inf) & a["negative"])]


ROWS: list[OpRow] = [
    *map(_unary, UNARY),
    *map(_parametric, PARAMETRIC),
    *map(_binary, BINARY),
    *map(_compare, COMPARE),
    OpRow(
        "where", "elementwise", (3, 3), _infer_where, lambda v, _: [np.asarray(np.where(v[0], v[1], v[2]))],
        rows=row_rules.elementwise,
    ),
    OpRow(
        "cast", "elementwise", (1, 1), _infer_cast, lambda v, a: [cast(v[0], **a)],
        {"to": REQUIRED, "saturate": True, "round_mode": "up"}, row_rules.elementwise,
    ),
    OpRow(
        "bitcast",
        "elementwise",
        (1, 1),
        _infer_bitcast,
        lambda v, a: [v[0].view(DTYPES[a["to"]])],
        {"to": REQUIRED},
        row_rules.elementwise,
    ),
    OpRow(
        "is_nan", "elementwise", (1, 1), _infer_test("is_nan"), lambda v, _: [np.asarray(_wide(v[0]) != _wide(v[0]))],
        rows=row_rules.elementwise,
    ),
    OpRow(
        "is_inf", "elementwise", (1, 1), _infer_test("is_inf"), _is_inf, {"positive": True, "negative": True},
        row_rules.elementwise,
    ),
]
assert SIGNED <= INTEGERS
