"""Routes of integers, bits and casts, in the evaluator against the interpreter: exactly."""

from __future__ import annotations

import numpy as np
import pytest
from coreml_run import agree, evaluated
from network import Network

from edgec.ir.errors import UnsupportedError
from edgec.ir.types import DTYPES
from edgec.targets.apple.features import LACKS
from edgec.targets.coreml.deployment import DEPLOYMENTS, choose
from edgec.targets.coreml.program import emit

NARROW = ("i8", "u8", "i16", "u16")
ARITHMETIC = ("add", "sub", "mul", "div", "mod", "fmod", "min", "max")


def edges(dtype: str) -> tuple[np.ndarray, np.ndarray]:
    """Every pair of some numbers of a dtype, the extreme ones and 0 among them."""
    info = np.iinfo(DTYPES[dtype])
    some = sorted({info.min, info.min + 1, -7, -2, -1, 0, 1, 2, 3, 10, 100, info.max - 1, info.max})
    fit = [n for n in some if info.min <= n <= info.max]
    x, y = np.meshgrid(fit, fit)
    return x.reshape(-1), y.reshape(-1)


@pytest.mark.parametrize("known", [False, True])
@pytest.mark.parametrize("dtype", NARROW)
def test_narrow_arithmetic_wraps(dtype: str, known: bool) -> None:
    net = Network(1)
    a, b = edges(dtype)
    x = net.source(a, dtype)
    y = net.build.const(b.astype(DTYPES[dtype])) if known else net.source(b, dtype)
    for kind in (*ARITHMETIC, "pow", "prelu", "bit_and", "bit_or", "bit_xor"):
        net.op(kind, x, y)
    for kind in ("neg", "abs", "sign", "relu", "bit_not"):
        net.op(kind, x)
    net.op("clip", x, lo=-3.0, hi=1e9)
    net.op("clip", x, lo=2.0, hi=5.0)
    agree(net)


@pytest.mark.parametrize("name", DEPLOYMENTS)
@pytest.mark.parametrize("dtype", ["i32", "i64"])
def test_wide_arithmetic(dtype: str, name: str) -> None:
    net = Network(2)
    some = [-(2**31) + 1, -1000003, -7, -3, -1, 0, 1, 2, 3, 5, 999, 65537, 2**31 - 1]
    a, b = (part.reshape(-1) for part in np.meshgrid(some, some))
    for kind in ("div", "mod", "fmod", "min", "max", "bit_and", "bit_or", "bit_xor"):
        net.op(kind, net.source(a, dtype), net.source(b, dtype))
    base, exponent = (part.reshape(-1) for part in np.meshgrid([-3, -2, -1, 0, 1, 2, 7], range(-3, 11)))
    net.op("pow", net.source(base, dtype), net.source(exponent, dtype))
    net.op("pow", net.source(base, dtype), net.build.const(np.array(3), dtype))
    net.op("pow", net.source(base, dtype), net.build.const(np.array(-1), dtype))
    agree(net, name)


def test_sums_of_32_bits_wrap() -> None:
    net = Network(3)
    x = net.source([2**31 - 1, -(2**31), 123456789], "i32")
    net.op("add", x, x)
    net.op("mul", x, x)
    net.op("pow", x, net.source([3, 2, 31], "i32"))
    agree(net)


@pytest.mark.parametrize("dtype", ["u8", "u16", "u32", "u64", "i8", "i32"])
def test_shifts(dtype: str) -> None:
    net = Network(4)
    bits = min(8 * DTYPES[dtype].itemsize, 32)
    numbers = [0, 1, 5, 77, 127]
    if dtype in ("i8", "i32"):
        numbers += [-1, -77, int(np.iinfo(DTYPES[dtype]).min)]
    right = (part.reshape(-1) for part in np.meshgrid(numbers, [0, 1, 3, bits - 1, bits]))
    net.op("shr", *(net.source(part, dtype) for part in right))
    # shifted to the left, 64 bits must stay within 32
    by = [0, 1, 3, 7] if dtype == "u64" else [0, 1, 3, bits - 1, bits]
    net.op("shl", *(net.source(part.reshape(-1), dtype) for part in np.meshgrid(numbers, by)))
    agree(net)


@pytest.mark.parametrize("name", DEPLOYMENTS)
def test_casts(name: str) -> None:
    net = Network(5)
    integers = net.source([-70000, -300, -129, -1, 0, 1, 128, 255, 256, 40000, 70000], "i32")
    floats = net.source([-2.7, -0.5, -0.0, 0.49, 1.5, 99.9], "f32")
    for to in (*NARROW, "i32", "i64", "bool", "f32", "f16"):
        net.op("cast", integers, to=to)
        net.op("cast", floats, to=to)
        net.op("cast", net.source([True, False], "bool"), to=to)
    for have in NARROW:
        info = np.iinfo(DTYPES[have])
        x = net.source([info.min, info.min // 2, 0, 77, info.max], have)
        for to in (*NARROW, "i32", "u32", "bool", "f32"):
            net.op("cast", x, to=to)
    agree(net, name)


def test_a_half_is_rounded_in_a_program_of_float32() -> None:
    net = Network(6)
    x = net.source([0.1, 1 / 3, 1e-9, 70000.0, 2049.0], "f32")
    half = net.build.op("cast", x, to="f16")
    net.op("cast", half, to="f32")
    small = net.source([0.1, 3.0], "f16")
    net.op("cast", net.build.op("mul", small, small), to="f32")
    found = evaluated(net.graph, net.feeds)
    assert found["y0"].tolist() == [0.0999755859375, 0.333251953125, 0.0, np.inf, 2048.0]
    agree(net)


def test_bits_read_otherwise_are_refused() -> None:
    net = Network(7)
    net.op("bitcast", net.floats(3), to="i32")
    with pytest.raises(UnsupportedError, match="reads the bits of f32 as i32, for which Core ML has no operator"):
        emit(net.graph.module, choose(""), halves=False)


@pytest.mark.parametrize("dtype", sorted(LACKS))
def test_element_types_that_core_ml_lacks_are_refused(dtype: str) -> None:
    """Whatever rank they have, and whatever reads them."""
    for dims in ((2, 3), ()):
        net = Network(9)
        there = net.build.op("cast", net.floats(*dims), to=dtype)
        net.op("cast", there, to="f32")
        with pytest.raises(UnsupportedError) as refused:
            emit(net.graph.module, choose(""), halves=False)
        said = [f"is of {dtype}, which Core ML has not" in line for line in refused.value.reasons]
        assert said == [True, True]


def test_a_constant_of_64_bits_is_refused() -> None:
    net = Network(8)
    net.op("add", net.source([1, 2], "i64"), net.build.const(np.array([2**40, 0])))
    with pytest.raises(UnsupportedError, match="has the integer 1099511627776 as a constant"):
        emit(net.graph.module, choose(""), halves=False)
