"""The first operator that overflows or diverges in halves, and the fewest that stay in float32."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from network import Network
from onnx import TensorProto, helper
from quantised import made, written

from edgec.cli import commands
from edgec.driver import build
from edgec.fp16_doctor import _fewest, diagnose, operators_to_widen
from edgec.halves_compared import Seen
from edgec.ir.errors import UsageError, VerifyError
from edgec.options import BuildOptions
from edgec.targets.coreml.deployment import choose

IOS18 = choose("ios18")


def squares() -> Network:
    """Numbers around 1,000 are squared, which halves do not hold, divided again, and made small by tanh."""
    net = Network(3)
    x = net.floats(4, 8)
    large = net.build.op("mul", x, net.build.const(np.float32(1000.0)))
    square = net.build.op("mul", large, large)
    back = net.build.op("mul", square, net.build.const(np.float32(1e-6)))
    net.named("y", net.build.op("tanh", back))
    return net


def test_what_overflows_is_named_first() -> None:
    net = squares()
    found = diagnose(net.graph.module, IOS18, [net.feeds])
    _, square, *_ = net.graph.ops
    assert [(f.op, f.what) for f in found.findings] == [(square, "overflows")]
    largest = float(np.square(net.feeds["x0"].astype(np.float16).astype(np.float32) * 1000).max())
    said = found.findings[0].detail.removeprefix("it has numbers up to ").split(",")[0]
    assert float(said) == pytest.approx(largest, rel=1e-3)
    assert found.outputs["y"] < 10, "the hyperbolic tangent of infinity is a number, and a wrong one"
    assert not found.healthy


def test_as_few_as_will_do_stay_in_float32() -> None:
    net = squares()
    first, wide = operators_to_widen(net.graph.module, IOS18, [net.feeds])
    _, square, back, _ = net.graph.ops
    assert [f.op for f in first.findings] == [square]
    assert wide == {square, back}, "the square, and what reads it before halves hold it again"
    mended = diagnose(net.graph.module, IOS18, [net.feeds], wide)
    assert mended.healthy
    assert mended.outputs["y"] > 50


def test_what_diverges() -> None:
    """A small difference of large numbers: halves hold both, and nothing of the difference."""
    net = Network(3)
    x = net.floats(4, 8)
    moved = net.build.op("add", x, net.build.const(np.float32(4096.0)))
    back = net.build.op("sub", moved, net.build.const(np.float32(4096.0)))
    net.named("y", back)
    found = diagnose(net.graph.module, IOS18, [net.feeds])
    assert [(f.op, f.what) for f in found.findings] == [(back.op, "diverges")]
    assert found.outputs["y"] < 20
    _, wide = operators_to_widen(net.graph.module, IOS18, [net.feeds])
    assert wide == {moved.op, back.op}


def test_a_constant_beyond_halves() -> None:
    net = Network(3)
    large = net.build.op("mul", net.floats(4, 8), net.build.const(np.float32(1e5)))
    net.named("y", net.build.op("mul", large, net.build.const(np.float32(1e-5))))
    found, wide = operators_to_widen(net.graph.module, IOS18, [net.feeds])
    first, second = net.graph.ops
    assert (found.findings[0].op, found.findings[0].what) == (first, "overflows")
    assert "it has the constant 1e+05" in found.findings[0].detail
    assert wide == {first, second}
    assert diagnose(net.graph.module, IOS18, [net.feeds], wide).healthy


def test_integers_that_leave_are_the_same() -> None:
    """Halves keep 60 dB of the product, and not what it is cut off to."""
    net = Network(3)
    product = net.build.op("mul", net.floats(64, 64), net.build.const(np.float32(500.3)))
    net.named("y", net.build.op("cast", product, to="i32"))
    found, wide = operators_to_widen(net.graph.module, IOS18, [net.feeds])
    assert 30 < found.outputs["y"] < 80
    assert not found.healthy
    mended = diagnose(net.graph.module, IOS18, [net.feeds], wide)
    assert mended.healthy
    assert mended.outputs["y"] == np.inf
    assert {product.op} <= wide


def test_what_verification_looks_at_must_be_good_by_itself() -> None:
    """The first sample is lost; beside a second one of far larger numbers, its noise is little."""
    net = Network(3)
    moved = net.build.op("add", net.floats(4, 8), net.build.const(np.float32(4096.0)))
    net.named("y", net.build.op("sub", moved, net.build.const(np.float32(4096.0))))
    samples = [net.feeds, {"x0": net.feeds["x0"] * np.float32(1e4)}]
    both, first = (diagnose(net.graph.module, IOS18, samples, verified=count) for count in (2, 1))
    assert both.outputs["y"] > 50
    assert both.healthy
    assert first.outputs["y"] < 20
    assert not first.healthy


def test_noise_where_zeros_are_meant() -> None:
    seen = Seen()
    seen.compare(np.array([0, 1], np.int32), np.zeros(2, np.int32))
    assert seen.decibels == -np.inf


def test_a_constant_that_halves_make_zero() -> None:
    """A sum with 1e-9 where there is nothing else, and what makes numbers of it again."""
    net = Network(3)
    x = net.floats(4, 8)
    small = net.build.op("add", net.build.op("sub", x, x), net.build.const(np.float32(1e-9)))
    large = net.build.op("mul", small, net.build.const(np.float32(5e4)))
    net.named("y", net.build.op("mul", large, net.build.const(np.float32(5e4))))
    found, wide = operators_to_widen(net.graph.module, IOS18, [net.feeds])
    assert [(f.op, f.what) for f in found.findings] == [(small.op, "diverges")]
    assert small.op in wide
    assert diagnose(net.graph.module, IOS18, [net.feeds], wide).healthy


def test_nothing_to_find() -> None:
    net = Network(3)
    net.named("y", net.build.op("tanh", net.floats(4, 8)))
    found, wide = operators_to_widen(net.graph.module, IOS18, [net.feeds])
    assert (found.findings, wide, found.healthy) == ([], set(), True)


def test_fewest() -> None:
    ops = squares().graph.ops * 5
    needed = {ops[1]}
    assert _fewest(list(dict.fromkeys(ops)), lambda kept: needed <= kept) == needed


@pytest.fixture
def model(tmp_path: Path) -> Path:
    nodes = [helper.make_node("Mul", ["x", "k"], ["large"]), helper.make_node("Mul", ["large", "large"], ["square"]),
             helper.make_node("Sqrt", ["square"], ["root"]), helper.make_node("Mul", ["root", "s"], ["y"])]  # fmt: skip
    constants = {"k": np.float32(3000.0), "s": np.float32(1e-3)}
    return written(made(nodes, constants, {"x": (4, 8)}, {"y": TensorProto.FLOAT}), tmp_path)


def test_commands(model: Path, tmp_path: Path) -> None:
    said = CliRunner().invoke(commands, ["doctor", str(model)])
    assert said.exit_code == 0, said.output
    lines = said.output.splitlines()
    assert lines[1].startswith("  mul Mul ")
    assert " overflows: it has numbers up to " in lines[1]
    assert "output y: lost" in said.output
    fixed = CliRunner().invoke(commands, ["doctor", str(model), "--fix", "-o", str(tmp_path / "fixed")])
    assert fixed.exit_code == 0, fixed.output
    receipt = json.loads((tmp_path / "fixed/receipt.json").read_bytes())
    assert [label.split()[0] for label in receipt["fp16"]["kept_in_float32"]] == ["mul", "sqrt"]
    assert receipt["verification"]["pass"]


def test_sums_of_bytes_that_halves_do_not_hold(tmp_path: Path) -> None:
    """What quantize_dynamic makes: bytes whose scale is found at run time, sums as integers, and floats of those."""
    weights = np.random.default_rng(5).integers(0, 128, (256, 8)).astype(np.int8)
    nodes = [helper.make_node("Sigmoid", ["x"], ["level"]),
             helper.make_node("DynamicQuantizeLinear", ["level"], ["steps", "scale", "zero"]),
             helper.make_node("MatMulInteger", ["steps", "w", "zero"], ["sums"]),
             helper.make_node("Cast", ["sums"], ["floats"], to=TensorProto.FLOAT),
             helper.make_node("Mul", ["floats", "scale"], ["y"])]  # fmt: skip
    path = written(made(nodes, {"w": weights}, {"x": (4, 256)}, {"y": TensorProto.FLOAT}), tmp_path)
    with pytest.raises(VerifyError, match=r"'y' is beyond the tolerance.*edgec doctor"):
        build(path, "coreml", tmp_path / "halves", BuildOptions(precision="fp16"))
    said = CliRunner().invoke(commands, ["doctor", str(path)])
    assert "cast Cast" in said.output
    assert "overflows: it has numbers up to " in said.output
    nodes[-2:] = [helper.make_node("Identity", ["sums"], ["y"])]
    whole = written(made(nodes, {"w": weights}, {"x": (4, 256)}, {"y": TensorProto.INT32}), tmp_path, "whole")
    assert "dB, and integers must be the same" in CliRunner().invoke(commands, ["doctor", str(whole)]).output
    found = build(path, "coreml", tmp_path / "mended", BuildOptions(precision="fp16", fix=True)).receipt
    assert [label.split()[0] for label in found["fp16"]["kept_in_float32"]] == ["cast", "mul"]
    assert found["verification"]["pass"]


def test_bad_use(model: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="give --precision fp16 with it"):
        build(model, "coreml", tmp_path / "out", BuildOptions(fix=True))
    with pytest.raises(UsageError, match="--fix is for packages"):
        build(model, "host", tmp_path / "out", BuildOptions(fix=True, precision="fp16"))
    said = CliRunner().invoke(commands, ["doctor", str(model), "-t", "arm"])
    assert isinstance(said.exception, UsageError)
    assert "legal: coreml, coreml:iosNN" in str(said.exception)
    said = CliRunner().invoke(commands, ["doctor", str(model), "-o", str(tmp_path / "out")])
    assert "give --fix with it" in str(said.exception)
