"""Integer forms of operators on encoded values: operands' bytes in, the result's bytes out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from edgec.ir.graph import Value
from edgec.ir.ops.functions import PARAMETRIC, UNARY
from edgec.passes.form import Form, numbers_of
from edgec.passes.move_forms import gather_form, move_form, resize_form
from edgec.passes.product_forms import conv_form, matmul_form
from edgec.passes.requant import NotInIntegers
from edgec.passes.row_forms import attention_form, norm_form, prelu_form, softmax_form
from edgec.passes.sum_forms import add_form, avg_pool_form, mean_form, mul_form
from edgec.passes.table_forms import number_form, rescaled, unary_form, with_number


def _softmax(f: Form) -> Value:
    result = f.target()
    x, grid = f.byte(0)
    made = softmax_form(f.build, f.op, x, grid, result)
    return rescaled(f.build, made, replace(result, zero=result.least), result)


def _norm(f: Form) -> Value:
    x, grid = f.byte(0)
    return norm_form(f.build, f.op, x, grid, f.target())


def _attention(f: Form) -> Value:
    return attention_form(f.build, f.op, [f.byte(i) for i in range(3)], f.target())


def _prelu(f: Form) -> Value:
    made = with_number(f)
    if made is not None:
        return made
    x, grid = f.byte(0)
    return prelu_form(f.build, f.op, x, grid, f.target())


def _cast(f: Form) -> Value:
    """Bytes of halves, or halves of bytes: the casts between are part of quantize and dequantize."""
    x, grid = f.operands[0]
    if grid is None and f.result is not None and x is not None and x.type.dtype == "f16":
        return f.build.op("quantize", x, *numbers_of(f.build, f.result))
    if grid is not None and f.result is None and f.attrs["to"] == "f16":
        return f.build.op("dequantize", x, *numbers_of(f.build, grid), to="f16")
    raise NotInIntegers("NO_INTEGER_FORM")


FORMS: dict[str, Callable[[Form], Value]] = {
    **dict.fromkeys((*UNARY, *PARAMETRIC), unary_form),
    **dict.fromkeys(
        ("concat", "max_pool", "pad", "reduce_max", "reduce_min", "reshape", "slice", "transpose"), move_form
    ),
    **dict.fromkeys(("div", "max", "min", "pow"), number_form),
    **dict.fromkeys(("layer_norm", "rms_norm"), _norm),
    "add": add_form,
    "attention": _attention,
    "avg_pool": avg_pool_form,
    "cast": _cast,
    "conv": conv_form,
    "gather": gather_form,
    "matmul": matmul_form,
    "mul": mul_form,
    "prelu": _prelu,
    "reduce_mean": mean_form,
    "reduce_sum": mean_form,
    "resize": resize_form,
    "softmax": _softmax,
    "sub": add_form,
}
