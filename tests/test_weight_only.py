"""`--precision w8` and `w4` from ONNX to an artifact: few bytes, the answers kept, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from network import Network
from test_build import EXAMPLES, MODEL, command

import edgec
from edgec.encode_weights import encodable, encode_weights, form_for, met_by
from edgec.ir import interp
from edgec.ir.errors import UsageError, VerifyError
from edgec.ir.types import Quant

CALIB = EXAMPLES / "fashion_mnist_calib.npz"
SHAPES = {"input": (1, 1, 28, 28)}


def built(target: str, folder: Path, precision: str, **options: Any) -> dict[str, Any]:
    receipt: dict[str, Any] = edgec.compile(MODEL, target, folder, shapes=SHAPES, precision=precision, **options)
    return receipt


@pytest.mark.parametrize("target", ["host", "arm:cortex-a72"])
def test_bytes(target: str, labelled: Path, tmp_path: Path) -> None:
    """A byte a weight, and no flip; half of one and a scale for 32, the first layer and the biases apart."""
    receipt = built(target, tmp_path / "w8", "w8", data=labelled)
    assert receipt["verification"]["reference"] == "edgec's interpreter with the same weights"
    level = receipt["verification"]["against_model"]["signal_to_noise_db"]["logits"]
    assert level > 30
    assert receipt["quantization"]["rounding"] == "nearest"
    calibrated = built(target, tmp_path / "calibrated", "w8", calib=str(CALIB))
    assert calibrated["verification"]["against_model"]["signal_to_noise_db"]["logits"] > level + 5
    assert calibrated["quantization"]["rounding"] == "gptq"
    few = receipt["accuracy"]["images"] // 200  # none of those that an emulator computes
    assert receipt["accuracy"]["newly_wrong"] <= few
    kinds = receipt["memory"]["weights_by_kind"]
    weights = 77_584
    assert weights < kinds["i8"] < 1.03 * weights
    assert sum(kinds.values()) <= receipt["memory"]["weights_bytes"] < 1.05 * weights
    four = built(target, tmp_path / "w4", "w4", calib=str(CALIB), data=labelled)
    kinds = four["memory"]["weights_by_kind"]
    assert kinds["i4"] < 4.6 / 8 * weights
    assert {row["format"] for row in four["quantization"]["weights"]} == {"i4", "i8"}
    assert four["quantization"]["rounding"] == "gptq"
    assert four["accuracy"]["newly_wrong"] - four["accuracy"]["newly_right"] <= 3 * few
    assert four["verification"]["against_model"]["signal_to_noise_db"]["logits"] > 27


def test_the_command(tmp_path: Path) -> None:
    done = command(
        "build", str(MODEL), "-t", "arm", "-o", "out", "--shape", "input=1x1x28x28", "--precision", "w4", cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    assert "100.0% of the multiply-adds are coded (9 i4, 1 i8)" in done.stdout


@pytest.mark.parametrize("format", ["i4", "i8"])
def test_rounding_by_what_is_multiplied(format: str) -> None:
    """Less noise in the result, though there is more in the weights."""
    noise = []
    for samples in (0, 64):
        net = Network(3)
        mixing = net.rng.standard_normal((96, 96)) * (net.rng.random((96, 96)) < 0.1)
        rows = (net.rng.standard_normal((64, 8, 96)) @ mixing).astype(np.float32)
        x = net.source(rows[0])
        net.op("matmul", x, net.const(96, 40))
        (op,) = net.graph.ops
        feeds = [{x.name: one} for one in rows[:samples]]
        wide = [interp.run(net.graph, {x.name: one})["y0"] for one in rows]
        met = dict(met_by(net.graph, [op], feeds))[op] if feeds else None
        encode_weights(net.graph, op, format, met)
        noise.append(
            sum(np.sum((interp.run(net.graph, {x.name: o})["y0"] - w) ** 2) for o, w in zip(rows, wide, strict=True))
        )
    assert noise[1] < 0.7 * noise[0]


def test_what_is_encoded() -> None:
    """Depthwise weights are not; few input channels have bytes where four bits are asked for."""
    net = Network(4)
    window: Any = dict(strides=(1, 1), pads=(1, 1, 1, 1), dilations=(1, 1), layout="nhwc")
    x = net.build.op("conv", net.floats(1, 8, 8, 3), net.const(40, 3, 3, 3), **window)
    x = net.build.op("conv", x, net.const(40, 1, 3, 3), groups=40, **window)
    x = net.build.op("conv", x, net.const(8, 40, 3, 3), **window)
    net.done(x)
    assert [encodable(op) for op in net.graph.ops] == [True, False, True]
    assert [form_for(op, "i4") for op in net.graph.ops if encodable(op)] == ["i8", "i4"]
    encode_weights(net.graph, net.graph.ops[2], "i4")
    (encoding,) = net.graph.ops[2].arg(1).type.encodings
    assert isinstance(encoding, Quant)
    assert net.graph.module.constants[encoding.scale].shape == (8, 2, 3, 3)


def test_low_rank_gives_back_what_rounding_takes(tmp_path: Path) -> None:
    """Two thin matmuls, whose error is less than that of the weights alone; the artifact means the same."""
    noise = []
    for rank in (0, 8):
        net = Network(5)
        x, w = net.floats(6, 64), net.const(64, 48)
        net.op("matmul", x, w, net.const(48), act="relu")
        wide = net.expected()["y0"]
        (op,) = net.graph.ops
        row = encode_weights(net.graph, op, "i4", rank=rank)
        assert len(net.graph.ops) == (3 if rank else 1)
        noise.append((np.sum((net.expected()["y0"] - wide) ** 2), row["signal_to_noise_db"]))
        net.check("host", tmp_path)
    assert noise[1][0] < 0.8 * noise[0][0]
    assert noise[1][1] > noise[0][1] + 1


def test_low_rank_where_it_means_nothing(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--low-rank is for fp8-e4m3"):
        built("host", tmp_path / "out", "int8", low_rank=4)


def test_a_bound_takes_bytes_then_floats(tmp_path: Path) -> None:
    """Between what four bits lose and what bytes lose, some weights are bytes; below both, some are floats."""
    free, mixed, close = (
        built("host", tmp_path / share, "w4", calib=str(CALIB), calib_samples=16, max_error=share)
        for share in ("20%", "1.5%", "0.2%")
    )
    found = [receipt["quantization"]["search"] for receipt in (free, mixed, close)]
    core = built("arm:cortex-a76", tmp_path / "core", "w4", calib=str(CALIB), calib_samples=16, max_error="1.5%",
                 verify="none")  # fmt: skip
    assert core["quantization"]["search"] == found[1], "weights are what they are on any core"
    assert [(f["weights_of_bytes"] > 0, f["in_floats"] > 0) for f in found] == [(0, 0), (1, 0), (1, 1)]
    errors = [f["measured"]["error"] for f in found]
    assert errors[0] > 0.015 >= errors[1] > 0.002 >= errors[2]
    levels = [r["verification"]["against_model"]["signal_to_noise_db"]["logits"] for r in (free, mixed, close)]
    assert levels[0] + 2 < levels[1] < levels[2] - 2
    forms = [{row["op"]: row["form"] for row in f["layers"]} for f in found]
    assert {"i4", "i8"} == set(forms[1].values())
    floats = [op for op, form in forms[2].items() if form == "f32"]
    assert sorted(close["quantization"]["weights_in_floats"]) == sorted(floats)
    kept = close["quantization"]["kept_in_floats"]
    assert sorted((row["op"], row["code"]) for row in kept) == [(op, "BEYOND_BOUND") for op in sorted(floats)]
    assert sum(form == "i4" for form in forms[0].values()) == found[1]["weights_of_bytes"] + sum(
        form == "i4" for form in forms[1].values()
    )


def test_a_bound_on_bytes(tmp_path: Path) -> None:
    with pytest.raises(VerifyError, match="is not met with any narrower operator: the closest was"):
        built("host", tmp_path / "out", "w8", max_error="0.000001", calib_samples=4)
    assert not (tmp_path / "out").exists()
