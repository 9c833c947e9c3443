"""Double-precision functions, remainders, whole powers and casts of halves: tighter than the project's tolerance."""

from __future__ import annotations

from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
from compiled import PLAIN
from network import Network

from edgec.targets.c.lower.elementwise import _DOUBLE

# relative error where it is not a few units in the last place, and absolute where a sum cancels
ERRORS = {"erf": 1e-14, "mish": 1e-14}
CANCELS = {"gelu": 1e-14, "gelu_tanh": 1e-14, "hard_swish": 1e-15, "hard_sigmoid": 1e-15}
UNIT = ("asin", "acos", "atanh")


@pytest.mark.parametrize("target", PLAIN)
def test_functions(target: str, tmp_path: Path) -> None:
    net = Network(11)
    rng = net.rng
    special = [0.0, -0.0, np.inf, -np.inf, np.nan, 5e-324, 1e-300, -1e-9, 700.0, -720.0, 1e300]
    wide = np.concatenate([special, rng.uniform(-9, 9, 300), rng.uniform(-1, 1, 100) * 1e-4])
    # far out only the exact reduction of the argument helps: 2^20, and doubles near multiples of pi/2
    angles = np.concatenate([wide, [1048576.0, 1e22, 6381956970095103 * 2.0**797, 1e308, 11.0, 22.0, 355.0, 710.0]])
    sources = {
        "any": net.source(wide, "f64"), "positive": net.source(np.abs(wide), "f64"),
        "unit": net.source(np.concatenate([rng.uniform(-1, 1, 99), [1.0, -1.0, 1.5]]), "f64"),
        "angle": net.source(angles, "f64"), "above": net.source(1 + np.abs(wide), "f64"),
    }  # fmt: skip
    kinds = {"log": "positive", "sqrt": "positive", "rsqrt": "positive", "acosh": "above"}
    kinds |= dict.fromkeys(UNIT, "unit") | dict.fromkeys(("sin", "cos", "tan"), "angle")
    for kind in sorted(_DOUBLE):
        net.named(kind, net.build.op(kind, sources[kinds.get(kind, "any")]))
    for kind in ("elu", "selu", "leaky_relu", "hard_sigmoid"):
        net.named(kind, net.build.op(kind, sources["any"]))
    net.named("clip", net.build.op("clip", sources["any"], lo=-1.1, hi=2.3))
    found, expected = net.run(target, tmp_path), net.expected()
    for name, array in found.items():
        with np.errstate(all="ignore"):
            np.testing.assert_allclose(
                array, expected[name], ERRORS.get(name, 3e-15), CANCELS.get(name, 1e-320), err_msg=f"{target} {name}"
            )


@pytest.mark.parametrize("target", PLAIN)
def test_float_trigonometry_is_rounded_once(target: str, tmp_path: Path) -> None:
    net = Network(12)
    rng = net.rng
    angles = np.concatenate([rng.uniform(-50, 50, 200), rng.uniform(-1, 1, 50) * 1e30, [np.inf, np.nan, 0.0, -0.0]])
    x = net.source(angles, "f32")
    for kind in ("sin", "cos", "tan", "atan", "asinh"):
        net.named(kind, net.build.op(kind, x))
    found = net.run(target, tmp_path)
    exact = {"sin": np.sin, "cos": np.cos, "tan": np.tan, "atan": np.arctan, "asinh": np.arcsinh}
    for name, array in found.items():
        with np.errstate(all="ignore"):
            right = exact[name](angles.astype(np.float32).astype(np.float64)).astype(np.float32)
        np.testing.assert_array_equal(array, right, err_msg=f"{target} {name}")


@pytest.mark.parametrize("target", PLAIN)
def test_remainders_powers_and_bits(target: str, tmp_path: Path) -> None:
    net = Network(13)
    rng = net.rng
    x = np.concatenate([rng.uniform(-1e6, 1e6, 200), [7.0, -7.0, 0.0, 5.0, 1e300, np.inf, np.nan, 3.0, -3.0]])
    z = np.concatenate([rng.uniform(-3, 3, 200), [3.0, 3.0, 2.0, np.inf, 7e-300, 2.0, 1.0, 0.0, np.inf]])
    for dtype in ("f32", "f64"):
        a, b = net.source(np.clip(x, -1e30, 1e30) if dtype == "f32" else x, dtype), net.source(z, dtype)
        net.named(f"fmod {dtype}", net.build.op("fmod", a, b))
        net.named(f"mod {dtype}", net.build.op("mod", a, b))
    base = np.array([-3, -1, -1, 0, 1, 2, 5, 7], np.int64)
    exponent = np.array([3, -2, -3, 0, -1, -1, 2, 60], np.int64)
    for dtype in ("i8", "i32", "i64"):
        operands = net.source(base, dtype), net.source(exponent, dtype)
        net.named(f"pow {dtype}", net.build.op("pow", *operands))
    net.named("bits f32", net.build.op("bitcast", net.source(rng.standard_normal(9), "f32"), to="i32"))
    net.named("bits i64", net.build.op("bitcast", net.source(rng.integers(0, 2**62, 9), "i64"), to="f64"))
    found, expected = net.run(target, tmp_path), net.expected()
    for name, array in found.items():
        np.testing.assert_array_equal(array, expected[name], err_msg=f"{target} {name}")


@pytest.mark.parametrize("target", PLAIN)
def test_casts_of_halves_are_exact(target: str, tmp_path: Path) -> None:
    net = Network(14)
    rng = net.rng
    every = np.arange(65536, dtype=np.uint16)
    halves = {"f16": every.view(np.float16), "bf16": every.view(ml_dtypes.bfloat16)}
    numbers = np.concatenate(
        [rng.standard_normal(500) * 10.0 ** rng.uniform(-9, 6, 500), [65519.99, 65520.0, np.inf, np.nan, -0.0, 6e-8]]
    )
    # just above the middle of two halves: rounding to float first would land on the middle, then on the even one
    ties = 1 + 2.0**-11 + np.array([0.0, 2.0**-40, -(2.0**-40)])
    numbers = np.concatenate([numbers, ties])
    for name, array in halves.items():
        x = net.source(array, name)
        small = net.source(array[np.abs(array.astype(np.float32)) < 100], name)
        for to in ("f32", "f64", "i32", "bool"):
            known = x if to[0] in "fb" else small
            net.named(f"{name} {to}", net.build.op("cast", known, to=to))
        for source in ("f32", "f64", "i32", "i64"):
            some = numbers if source[0] == "f" else np.arange(-70000, 70000, 13)
            net.named(f"{source} {name}", net.build.op("cast", net.source(some, source), to=name))
    net.named("f16 bf16", net.build.op("cast", net.source(halves["f16"], "f16"), to="bf16"))
    net.named("bf16 f16", net.build.op("cast", net.source(halves["bf16"], "bf16"), to="f16"))
    with np.errstate(over="ignore"):
        found, expected = net.run(target, tmp_path), net.expected()
    for name, array in found.items():
        with np.errstate(invalid="ignore"):  # NaN with the top bit of its payload clear
            wide, right = (a.astype(np.float64) for a in (array, expected[name]))
        np.testing.assert_array_equal(wide, right, err_msg=f"{target} {name}")
