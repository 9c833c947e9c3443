"""Outputs in halves of graphs that round to bytes: as noisy as rounding makes them, and no more."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from network import Network
from onnx import helper
from quantised import made, written

from edgec.byte_noise import SHARE, asked_db, asked_of, rounds, steps_off
from edgec.cli import commands
from edgec.driver import build
from edgec.ir import interp
from edgec.ir.errors import VerifyError
from edgec.ir.types import Quant, Type
from edgec.narrowed import judged_together
from edgec.options import BuildOptions
from edgec.paired import signal_to_noise


def rounded(network: Network, *dims: int) -> None:
    """`y` is x rounded to bytes of a step of 1/8, `z` to whole numbers."""
    x = network.floats(*dims)
    y = network.build.op("add", x, network.build.const(np.float32(0.0)))
    module = network.graph.module
    keys = module.intern(np.float32(0.125)), module.intern(np.int8(0))
    y.type = Type("f32", y.type.shape, (Quant("i8", *keys),))
    network.named("y", y)
    network.named("z", network.build.op("round", network.build.op("mul", x, network.build.const(np.float32(8.0)))))


def test_steps_off() -> None:
    net = Network(3)
    rounded(net, 64, 64)
    net.feeds["x0"][0] = 1000.0  # at the end of its range
    meant = interp.run(net.graph, net.feeds)
    off = interp.run(net.graph, net.feeds, given=steps_off(net.graph))
    for name, step in (("y", 0.125), ("z", 1.0)):
        steps = (off[name] - meant[name]) / step
        assert set(np.unique(steps)) == {-1.0, 0.0, 1.0}
        assert np.mean(steps != 0) == pytest.approx(SHARE, abs=0.02)
    assert np.all(off["y"][0] == 127 * 0.125)
    again = interp.run(net.graph, net.feeds, given=steps_off(net.graph))
    assert np.array_equal(off["y"], again["y"]), "the same build, the same bound"


def test_what_is_asked_is_the_noise_of_rounding() -> None:
    net = Network(4)
    rounded(net, 64, 64)
    asked = asked_db(net.graph, [net.feeds])
    noise = signal_to_noise(interp.run(net.graph, net.feeds)["y"], net.feeds["x0"])
    assert asked["y"] == pytest.approx(noise - 3.0, abs=0.5)


def test_where_steps_leave_nothing() -> None:
    """An output of zeros has no signal: what is asked of floats is asked of it."""
    zeros = np.zeros(4, np.float32)
    assert asked_of([(zeros + np.float32(1), zeros)]) == np.inf


def test_nothing_is_asked_of_floats() -> None:
    net = Network(5)
    net.named("y", net.build.op("tanh", net.floats(4, 8)))
    assert not rounds(net.graph)
    assert asked_db(net.graph, [net.feeds]) == {}


def test_noise_counts_over_all_inputs_together() -> None:
    """A quiet input, of which nothing is left, beside a loud one."""
    loud, quiet = np.full(10, 100.0, np.float32), np.full(10, 0.1, np.float32)
    pairs = [(loud + np.float32(0.5), loud), (quiet * 2, quiet)]
    result = judged_together(pairs, 30.0, 30.0)
    assert result["pass"]
    assert result["signal_to_noise_db"] == pytest.approx(10 * np.log10(10000.01 / 0.26), abs=0.01)
    assert not judged_together(pairs[1:], 30.0, 30.0)["pass"]
    less = judged_together(pairs[1:], 30.0, -1.0)
    assert (less["pass"], less["asked_db"]) == (True, -1.0)
    assert not judged_together([*pairs, (loud * np.float32(np.inf), loud)], 30.0, -1.0)["pass"]


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """What rounding to bytes takes from a product and little more: whichever bytes are a step off, it shows."""
    w = np.random.default_rng(1).standard_normal((32, 32)).astype(np.float32)
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["p"]),
        helper.make_node("QuantizeLinear", ["p", "s", "z"], ["q"]),
        helper.make_node("DequantizeLinear", ["q", "s", "z"], ["d"]),
        helper.make_node("Mul", ["p", "most"], ["m"]),
        helper.make_node("Sub", ["d", "m"], ["y"]),
    ]
    constants = {"w": w, "s": np.float32(0.16), "z": np.int8(0), "most": np.float32(0.97)}
    return written(made(nodes, constants, {"x": (64, 32)}, {"y": 1}), tmp_path)


def test_a_package_as_near_as_bytes_allow(model: Path, tmp_path: Path) -> None:
    """Build and doctor measure the same on the same inputs, and agree."""
    receipt = build(model, "coreml", tmp_path / "out", BuildOptions(precision="fp16")).receipt
    (found,) = receipt["verification"]["outputs"].values()
    assert 5 < found["asked_db"] < found["signal_to_noise_db"] < 25
    assert found["relative_to_max"] > 0.1
    (test,) = (tmp_path / "out").glob("*Tests.swift")
    tolerance = f"tolerance: {2 * found['relative_to_max']:g}, "
    assert tolerance in test.read_text(), "on a device bytes may be as far off as in the evaluator"
    done = CliRunner().invoke(commands, ["doctor", str(model)])
    assert f"output y: {found['signal_to_noise_db']:.1f} dB, and {found['asked_db']:.1f} dB are asked" in done.output
    assert "--precision fp16 will do" in done.output
    verified = CliRunner().invoke(commands, ["verify", str(tmp_path / "out"), "--model", str(model)])
    assert verified.exit_code == 0, "the first input alone is as it was"


def test_more_noise_than_that(model: Path, tmp_path: Path) -> None:
    """A product beyond halves; what is advised helps, and nothing is advised twice."""
    np.savez(tmp_path / "large.npz", x=np.full((4, 64, 32), 30000.0, np.float32))
    wide = BuildOptions(precision="fp16", ranges={"x": (20000.0, 60000.0)})
    with pytest.raises(VerifyError, match="--fix keeps in float32 what halves break, and edgec doctor names it"):
        build(model, "coreml", tmp_path / "out", wide)
    mended = BuildOptions(precision="fp16", fix=True, calib=str(tmp_path / "large.npz"))
    receipt = build(model, "coreml", tmp_path / "out", mended).receipt
    assert receipt["fp16"]["kept_in_float32"]
    assert receipt["verification"]["calibration_samples"] == 3, "what was mended is what is verified"
    assert json.loads((tmp_path / "out" / "receipt.json").read_text())["verification"]["pass"]
