"""Element-wise ops: C expressions over x (and z), made into kernels by map.h."""

from __future__ import annotations

import math
import re
import zlib
from collections.abc import Sequence

import numpy as np

from edgec.ir.graph import Op, Value
from edgec.ir.types import FLOATS, INTEGERS, NARROW
from edgec.plan.plan import Pointer
from edgec.targets.c.lower.activation import IN_HALVES, row_activation
from edgec.targets.c.lower.context import CTYPES, Lowering, LowerOp, NotLowered
from edgec.targets.c.lower.narrow import from_narrow, to_narrow
from edgec.targets.c.lower.strides import broadcast_strides, collapse

CHUNK = 4096  # EDGEC_MAP_CHUNK
_FLOAT = {
    "neg": "-x", "abs": "edgec_abs(x)", "exp": "edgec_exp(x)", "log": "edgec_log(x)", "sqrt": "__builtin_sqrtf(x)",
    "rsqrt": "1.0f / __builtin_sqrtf(x)", "reciprocal": "1.0f / x", "tanh": "edgec_tanh(x)", "erf": "edgec_erf(x)",
    "sigmoid": "edgec_sigmoid(x)", "floor": "__builtin_floorf(x)", "ceil": "__builtin_ceilf(x)",
    "round": "__builtin_rintf(x)", "relu": "edgec_relu(x)", "softplus": "edgec_softplus(x)",
    "softsign": "x / (1.0f + edgec_abs(x))", "gelu": "edgec_gelu(x)", "gelu_tanh": "edgec_gelu_tanh(x)",
    "silu": "edgec_silu(x)", "hard_swish": "edgec_hard_swish(x)", "mish": "edgec_mish(x)",
    "sign": "x > 0.0f ? 1.0f : x < 0.0f ? -1.0f : x",
}  # fmt: skip
_FLOAT |= {
    kind: f"(float)edgec_f64_{kind}((double)x)"
    for kind in ("sin", "cos", "tan", "asin", "acos", "atan", "sinh", "cosh", "asinh", "acosh", "atanh")
}
_DOUBLE = {
    **{kind: f"edgec_f64_{kind}(x)" for kind in (
        "abs", "exp", "log", "sin", "cos", "tan", "asin", "acos", "atan", "sinh", "cosh", "tanh", "asinh", "acosh",
        "atanh", "erf", "sigmoid", "softplus",
    )},
    "neg": "-x", "sqrt": "__builtin_sqrt(x)", "rsqrt": "1.0 / __builtin_sqrt(x)", "reciprocal": "1.0 / x",
    "floor": "__builtin_floor(x)", "ceil": "__builtin_ceil(x)", "round": "__builtin_rint(x)",
    "relu": "x < 0.0 ? 0.0 : x", "sign": "x > 0.0 ? 1.0 : x < 0.0 ? -1.0 : x",
    "softsign": "x / (1.0 + edgec_f64_abs(x))", "silu": "x * edgec_f64_sigmoid(x)",
    "gelu": "x * (0.5 * (1.0 + edgec_f64_erf(x * 0.7071067811865476)))",
    "gelu_tanh": "x * 0.5 * (1.0 + edgec_f64_tanh(0.7978845608028654 * (x + 0.044715 * x * x * x)))",
    "hard_swish": "x < -3.0 ? x * 0.0 : x > 3.0 ? x : x * (x / 6.0 + 0.5)",
    "mish": "x * edgec_f64_tanh(edgec_f64_softplus(x))",
}  # fmt: skip
_VECTOR = ("exp", "tanh", "erf", "sigmoid", "gelu", "gelu_tanh", "silu", "hard_swish")  # edgec_vmath.h
_INTEGER = {"abs": "x < 0 ? -(UT)x : (UT)x", "neg": "-(UT)x", "relu": "x > 0 ? x : 0", "bit_not": "~x",
            "sign": "(x > 0) - (x < 0)"}  # fmt: skip
_FLOAT2 = {
    "add": "x + z", "sub": "x - z", "mul": "x * z", "div": "x / z", "min": "x < z || x != x ? x : z",
    "max": "x > z || x != x ? x : z", "prelu": "x < 0 ? x * z : x", "pow": "edgec_pow(x, z)",
    "mod": "(float)edgec_f64_mod((double)x, (double)z)", "fmod": "(float)edgec_f64_fmod((double)x, (double)z)",
}  # fmt: skip
_DOUBLE2 = {**_FLOAT2, **{kind: f"edgec_f64_{kind}(x, z)" for kind in ("pow", "mod", "fmod")}}
# the same on vectors (edgec_vf); edgec_select(mask, a, b) is mask ? a : b
_VECTOR2 = {
    "add": "x + z", "sub": "x - z", "mul": "x * z", "div": "x / z",
    "min": "edgec_select((edgec_vi)((x < z) | (x != x)), x, z)",
    "max": "edgec_select((edgec_vi)((x > z) | (x != x)), x, z)",
    "prelu": "edgec_select((edgec_vi)(x < edgec_splat(0.0f)), x * z, x)",
}  # fmt: skip
_INTEGER2 = {
    "add": "(UT)x + (UT)z", "sub": "(UT)x - (UT)z", "mul": "(UT)x * (UT)z", "min": "x < z ? x : z",
    "max": "x > z ? x : z", "bit_and": "x & z", "bit_or": "x | z", "bit_xor": "x ^ z",
    "div": "z == 0 ? 0 : z == (T)-1 && (T)-1 < 0 ? (T)-(UT)x : x / z",
    "mod": "z == 0 || (z == (T)-1 && (T)-1 < 0) ? 0 : x % z + (x % z != 0 && (x % z < 0) != (z < 0) ? z : 0)",
    "fmod": "z == 0 || (z == (T)-1 && (T)-1 < 0) ? 0 : x % z",
    "shl": "(uint64_t)z < BITS ? (UT)x << z : 0", "shr": "(uint64_t)z < BITS ? x >> z : 0",
    "prelu": "x < 0 ? (UT)x * (UT)z : (UT)x", "pow": "edgec_whole_pow((uint64_t)x, (int64_t)z)",
}  # fmt: skip
# halves: in vectors, or in floats one by one
HALF_KINDS = (*_FLOAT, *_FLOAT2, "leaky_relu", "elu", "selu", "hard_sigmoid", "clip")
_FLOATS, _FLOATS2 = {"f32": _FLOAT, "f64": _DOUBLE}, {"f32": _FLOAT2, "f64": _DOUBLE2}
# what gcc would call a comparison that is always false
_UNSIGNED2 = {"div": "z == 0 ? 0 : x / z", "mod": "z == 0 ? 0 : x % z", "fmod": "z == 0 ? 0 : x % z",
               "prelu": "((void)z, x)"}  # fmt: skip
_BOOL2 = {"and": "x & z", "or": "x | z", "xor": "x ^ z"}
_COMPARE = {"eq": "x == z", "ne": "x != z", "lt": "x < z", "le": "x <= z", "gt": "x > z", "ge": "x >= z"}
_UNSIGNED = {8: "uint32_t", 16: "uint32_t", 32: "uint32_t", 64: "uint64_t"}


def literal(value: float, dtype: str = "f32") -> str:
    """A literal of float32 or float64."""
    if dtype == "f64":
        return literal(value) if not math.isfinite(value) else repr(float(value))
    if math.isnan(value):
        return '__builtin_nanf("")'
    if math.isinf(value) or abs(value) > 3.4028234663852886e38:
        return "-__builtin_inff()" if value < 0 else "__builtin_inff()"
    return f"{float(np.float32(value))!r}f"


def _name(kind: str, dtype: str, expression: str) -> str:
    """Unique per expression where that holds numbers of the op's own."""
    numbers = "f" in expression[1:] or dtype == "f64"
    return f"{kind}_{dtype}_{zlib.crc32(expression.encode()):08x}" if numbers else f"{kind}_{dtype}"


def _typed(expression: str, dtype: str) -> str:
    bits = 8 * np.dtype(_numpy(dtype)).itemsize
    return expression.replace("UT", _UNSIGNED[bits]).replace("(T)", f"({CTYPES[dtype]})").replace("BITS", str(bits))


def _numpy(dtype: str) -> str:
    return {"i": "int", "u": "uint"}[dtype[0]] + dtype[1:] if dtype[0] in "iu" else "uint8"


def _kernels(text: str) -> str:
    """The header that holds what an expression calls."""
    return "math64.h" if "edgec_f64_" in text or "edgec_whole_pow" in text else "map.h"


def map1(ctx: Lowering, x: Value, y: Value, name: str, expression: str, header: str = "") -> None:
    n = y.type.size
    if not n:
        return
    tx, ty = CTYPES[x.type.dtype], CTYPES[y.type.dtype]
    ctx.call(
        header or _kernels(expression), f"edgec_{name}", ctx.read(x), ctx.write(y), n, tasks=-(-n // CHUNK),
        inplace=x.type == y.type,
        instances=(f"EDGEC_MAP1({name}, {tx}, {ty}, {expression})",),
    )  # fmt: skip


def _unary(op: Op, ctx: Lowering) -> None:
    x, dtype = op.arg(0), op.arg(0).type.dtype
    if dtype == "bool" and op.kind == "not":
        expression = "!x"
    elif dtype in ("f32", "f16") and op.kind in _VECTOR:
        n, numbers = op.result.type.size, ctx.element(dtype, wide=op.kind not in IN_HALVES)
        if n:
            ctx.call(
                numbers.header("map.h"), numbers.function(f"map_{op.kind}"), ctx.read(x), ctx.write(op.result), n,
                tasks=-(-n // CHUNK), inplace=True, instances=(f"EDGEC_VMAP1({op.kind})",),
            )  # fmt: skip
        return
    elif dtype in _FLOATS and op.kind in _FLOATS[dtype]:
        expression = _FLOATS[dtype][op.kind]
    elif dtype == "f16" and op.kind in _FLOAT:
        expression = _as_floats(_FLOAT[op.kind])
    elif dtype[0] in "iu" and op.kind in _INTEGER:
        expression = _typed(_INTEGER[op.kind], dtype)
        if dtype[0] == "u" and op.kind in ("abs", "relu", "sign"):
            expression = "x != 0" if op.kind == "sign" else "x"
    else:
        raise NotLowered(f"{op.kind} of {dtype} has no kernel")
    map1(ctx, x, op.result, f"{op.kind}_{dtype}", expression)


def _as_floats(expression: str) -> str:
    """An expression of floats where x and z are halves."""
    return re.sub(r"\b([xz])\b", r"(float)\1", expression)


def _clip(op: Op, ctx: Lowering) -> None:
    x, dtype = op.arg(0), op.arg(0).type.dtype
    lo, hi = float(op.attrs["lo"]), float(op.attrs["hi"])  # type: ignore[arg-type]
    if dtype[0] in "iu":
        limits = np.iinfo(_numpy(dtype))
        low = limits.min if lo <= limits.min else int(lo)
        high = limits.max if hi >= limits.max else int(hi)
        suffix = "ULL" if dtype == "u64" else "LL"
        low_text = f"(-{limits.max}LL - 1)" if low == -(2**63) else f"{low}{suffix}"
        text = f"x < {low_text} ? {low_text} : x > {high}{suffix} ? {high}{suffix} : x"
        name = f"clip_{dtype}_{zlib.crc32(text.encode()):08x}"
    elif dtype not in _FLOATS and dtype != "f16":
        raise NotLowered(f"clip of {dtype} has no kernel")
    else:
        low_text, high_text = literal(lo, dtype), literal(hi, dtype)
        text = f"x < {low_text} ? {low_text} : x > {high_text} ? {high_text} : x"
        text = _as_floats(text) if dtype == "f16" else text
        name = _name("clip", dtype, text)
    map1(ctx, x, op.result, name, text)


_PARAMETRIC = {
    "f32": {
        "leaky_relu": "x < 0.0f ? x * {alpha} : x",
        "elu": "x > 0.0f ? x : {alpha} * edgec_expm1(x)",
        "selu": "{gamma} * (x > 0.0f ? x : {alpha} * edgec_expm1(x))",
        "hard_sigmoid": "edgec_clip01(x * {alpha} + {beta})",
    },
    "f64": {
        "leaky_relu": "x < 0.0 ? x * {alpha} : x",
        "elu": "x > 0.0 ? x : {alpha} * edgec_f64_expm1(x)",
        "selu": "{gamma} * (x > 0.0 ? x : {alpha} * edgec_f64_expm1(x))",
        "hard_sigmoid": "x * {alpha} + {beta} < 0.0 ? 0.0 : x * {alpha} + {beta} > 1.0 ? 1.0 : x * {alpha} + {beta}",
    },
}


def _parametric(op: Op, ctx: Lowering) -> None:
    dtype = op.arg(0).type.dtype
    if dtype not in _PARAMETRIC and dtype != "f16":
        raise NotLowered(f"{op.kind} of {dtype} has no kernel")
    a = {k: literal(float(v), dtype) for k, v in op.attrs.items()}  # type: ignore[arg-type]
    text = _PARAMETRIC["f32" if dtype == "f16" else dtype][op.kind].format(**a)
    text = _as_floats(text) if dtype == "f16" else text
    map1(ctx, op.arg(0), op.result, _name(op.kind, dtype, text), text)


def _tests(op: Op, ctx: Lowering) -> None:
    dtype = op.arg(0).type.dtype
    if dtype not in _FLOATS:
        raise NotLowered(f"{op.kind} of {dtype} has no kernel")
    if op.kind == "is_nan":
        text = "x != x"
    else:
        parts = [f"x == {s}__builtin_inff()" for s, k in (("", "positive"), ("-", "negative")) if op.attrs[k]]
        text = " || ".join(parts) or "0"
    map1(ctx, op.arg(0), op.result, f"{op.kind}_{dtype}_{zlib.crc32(text.encode()):08x}", text)


def _cast(op: Op, ctx: Lowering) -> None:
    x, y = op.arg(0), op.result
    source, to = x.type.dtype, y.type.dtype
    if source == to or ({source, to} == {"bool", "u8"} and to == "u8"):
        ctx.alias(y, x)
        return
    if source in NARROW:
        from_narrow(op, ctx)
        return
    if (source, to) == ("f32", "bf16"):
        n = y.type.size
        if n:
            ctx.call("cast.h", "edgec_to_bf16", ctx.read(x), ctx.write(y), n, tasks=-(-n // CHUNK))
        return
    header = "cast.h" if {source, to} & set(_WIDENED) else ""
    number = _WIDENED.get(source, "x")
    if to in NARROW:
        real = "edgec_f64_to_odd((double)x)" if source == "f64" or source in INTEGERS else f"(float){number}"
        text = to_narrow(real, _whole(number) if source in FLOATS else "x", op)
        map1(ctx, x, y, f"cast_{source}_{to}_{zlib.crc32(text.encode()):08x}", text, "narrow.h")
        return
    if to == "bool":
        text = f"{number} != 0"
    elif source[0] in "fb" and source != "bool" and to[0] in "iu":
        text = _whole(number)
        if to == "u64":
            text = f"{number} >= 9.2233715e18f ? (uint64_t){number} : (uint64_t)(int64_t){number}"
    elif to == "bf16":
        text = f"edgec_bf16_from_float((float){number})"
    elif to == "f16":
        text = "edgec_f64_to_odd(x)" if source == "f64" else f"(float){number}"
    else:
        text = number
    map1(ctx, x, y, f"cast_{source}_{to}", text, header)


def _whole(number: str) -> str:
    """A float as an int64_t. Out of range is undefined in C: clamp to what int64_t holds, then wrap."""
    outside = f"{number} != {number} || {number} >= 9.2233715e18f || {number} <= -9.2233715e18f"
    return f"{outside} ? INT64_MIN : (int64_t){number}"


# how an expression reads the element types that nothing is computed in
_WIDENED = {"f16": "(float)x", "bf16": "edgec_bf16_to_float(x)"}


def split_row(dims: list[int], strides: Sequence[list[int]]) -> None:
    """One long row becomes rows of at most 2 * CHUNK elements, where it divides, so that threads may share it."""
    if len(dims) != 1:
        return
    parts = next((p for p in range(-(-dims[0] // (2 * CHUNK)), 1025) if dims[0] % p == 0), 1)
    if parts > 1:
        dims[:] = [parts, dims[0] // parts]
        for s in strides:
            s[:] = [s[0] * dims[1], s[0]]


def broadcast2(
    ctx: Lowering, a: Pointer, da: tuple[int, ...], b: Pointer, db: tuple[int, ...], y: Pointer,
    dims: tuple[int, ...], function: str, instance: str, inplace: bool, header: str = "map.h",
) -> None:  # fmt: skip
    """y = EXPR(a, b) over `dims`; da and db are the operands' shapes."""
    if 0 in dims:
        return
    out, (sa, sb) = collapse(dims, [broadcast_strides(da, dims), broadcast_strides(db, dims)])
    split_row(out, (sa, sb))
    tasks = int(np.prod(out[:-1], dtype=np.int64))
    ctx.call(
        header, function, a, b, y, ctx.sizes(out), ctx.sizes(sa), ctx.sizes(sb), len(out),
        tasks=tasks, inplace=inplace, instances=(instance,),
    )  # fmt: skip


def _binary(op: Op, ctx: Lowering) -> None:
    a, b, dtype = op.arg(0), op.arg(1), op.arg(0).type.dtype
    kind = op.kind
    compare = kind in _COMPARE
    if compare and dtype not in _WIDENED:
        text = _COMPARE[kind]
    elif dtype == "bool" and kind in _BOOL2:
        text = _BOOL2[kind]
    elif dtype in _FLOATS2 and kind in _FLOATS2[dtype]:
        text = _FLOATS2[dtype][kind]
    elif dtype == "f16" and kind in _FLOAT2:
        text = _as_floats(_FLOAT2[kind])
    elif dtype[0] in "iu" and kind in _INTEGER2:
        text = _typed((_UNSIGNED2 if dtype[0] == "u" and kind in _UNSIGNED2 else _INTEGER2)[kind], dtype)
    else:
        raise NotLowered(f"{kind} of {dtype} has no kernel")
    tx, ty = CTYPES[dtype], CTYPES[op.result.type.dtype]
    name = f"{kind}_{dtype}"
    instance = f"EDGEC_MAP2({name}, {tx}, {ty}, {text})"
    header, function = _kernels(text), f"edgec_{name}"
    if dtype in ("f32", "f16") and kind in _VECTOR2:
        numbers, name = ctx.element(dtype), f"v{kind}_{dtype}"
        header, function = numbers.header("map.h"), numbers.function(name)
        instance = f"EDGEC_VMAP2({name}, {_VECTOR2[kind]})"
    swap = kind in ("add", "mul") and a.type.size < b.type.size
    if swap:
        a, b = b, a
    inplace = a.type == op.result.type and a is not b
    broadcast2(
        ctx, ctx.read(a), a.type.dims, ctx.read(b), b.type.dims, ctx.write(op.result), op.result.type.dims, function,
        instance, inplace, header,
    )  # fmt: skip
    if op.attrs.get("act"):
        row_activation(ctx, op.result, str(op.attrs["act"]))


def _where(op: Op, ctx: Lowering) -> None:
    dims = op.result.type.dims
    if 0 in dims:
        return
    bits = 8 * op.result.type.numpy.itemsize
    values = [op.arg(i) for i in range(3)]
    out, strides = collapse(dims, [broadcast_strides(v.type.dims, dims) for v in values])
    ctx.call(
        "map.h", f"edgec_where_{bits}", ctx.read(values[0]), *(ctx.read(v, f"uint{bits}_t") for v in values[1:]),
        ctx.write(op.result, f"uint{bits}_t"), ctx.sizes(out), *(ctx.sizes(s) for s in strides), len(out),
        tasks=int(np.prod(out[:-1], dtype=np.int64)), instances=(f"EDGEC_WHERE({bits})",),
    )  # fmt: skip


ELEMENTWISE: dict[str, LowerOp] = {
    **dict.fromkeys(set(_FLOAT) | set(_DOUBLE) | set(_INTEGER) | {"not"}, _unary),
    **dict.fromkeys(set(_FLOAT2) | set(_INTEGER2) | set(_BOOL2) | set(_COMPARE), _binary),
    **dict.fromkeys(("leaky_relu", "elu", "selu", "hard_sigmoid"), _parametric),
    "is_nan": _tests,
    "is_inf": _tests,
    "clip": _clip,
    "bitcast": lambda op, ctx: ctx.alias(op.result, op.arg(0)),
    "cast": _cast,
    "where": _where,
}
