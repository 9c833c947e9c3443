"""`--integers-only`: a transformer of which no operator is in floats, with the same bits on all machines."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from onnx import helper
from quantised import made, written
from transformer import SIDE, write_transformer

from edgec.driver import build
from edgec.ir.errors import UsageError
from edgec.narrowed_text import quantization_lines
from edgec.options import BuildOptions
from edgec.paired import signal_to_noise
from edgec.runtime.session import load

TARGETS = ("host", "arm:cortex-a76", "arm:cortex-a72")
LEAST_DB = 32.0  # at the shares of classes


def test_no_floats_and_the_same_bits(tmp_path: Path) -> None:
    model = write_transformer(tmp_path / "transformer.onnx")
    images = np.random.default_rng(0).standard_normal((40, 3, SIDE, SIDE)).astype(np.float32)
    np.savez(tmp_path / "calib.npz", image=images[:32])
    session = onnxruntime.InferenceSession(str(model))
    held = [image[np.newaxis] for image in images[32:]]
    wide = np.concatenate([session.run(None, {"image": image})[0] for image in held])
    found = {}
    for target in TARGETS:
        options = BuildOptions(
            precision="int8", calib=str(tmp_path / "calib.npz"), whole=True, verify_inputs=1, observer="minmax"
        )
        made = build(model, target, tmp_path / target.replace(":", "-"), options)
        facts = made.receipt["quantization"]
        assert facts["operators_in_floats"] == {}
        assert facts["refused"] == []
        assert facts["macs_share"] == 1.0
        assert "islands" not in made.receipt["verification"]
        with load(made.directory) as artifact:
            found[target] = np.concatenate([artifact.run(None, {"image": image})[0] for image in held])
    np.testing.assert_array_equal(found["arm:cortex-a76"], found["host"])
    np.testing.assert_array_equal(found["arm:cortex-a72"], found["host"])
    steps = found["host"] * 255 / max(session.run(None, {"image": image[np.newaxis]})[0].max() for image in images[:32])
    np.testing.assert_allclose(steps, np.rint(steps), atol=1e-3, err_msg="shares are bytes of the range that was seen")
    assert signal_to_noise(found["host"], wide) > LEAST_DB
    assert np.mean(found["host"].argmax(1) == wide.argmax(1)) >= 0.75


def test_what_has_no_integer_form_is_named(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    shapes = {"w": (1, 12, 5), "r": (1, 12, 3), "m": (3, 2)}
    weights = {name: rng.standard_normal(shape) for name, shape in shapes.items()}
    nodes = [
        helper.make_node("LSTM", ["x", "w", "r"], ["h"], hidden_size=3),
        helper.make_node("MatMul", ["h", "m"], ["y"]),
    ]  # fmt: skip
    model = made(nodes, {n: a.astype(np.float32) for n, a in weights.items()}, {"x": (4, 1, 5)}, {"y": 1})
    np.savez(tmp_path / "calib.npz", x=rng.standard_normal((8, 4, 1, 5)).astype(np.float32))
    options = BuildOptions(precision="int8", calib=str(tmp_path / "calib.npz"), whole=True, observer="minmax")
    facts = build(written(model, tmp_path), "host", tmp_path / "out", options).receipt["quantization"]
    assert [(k["op"].split()[0], k["code"]) for k in facts["kept_in_floats"]] == [("lstm", "NO_INTEGER_FORM")]
    assert 0.0 < facts["macs_share"] < 1.0


BETWEEN = {
    "prelu": ("PRelu", ["a", "s"], {}), "hard_swish": ("HardSwish", ["a"], {}),
    "reduce_mean": ("ReduceMean", ["a", "axes"], {"keepdims": 1}),
}  # fmt: skip


@pytest.mark.parametrize("kind", BETWEEN)
def test_what_is_behind_floats_is_on_bytes(kind: str, tmp_path: Path) -> None:
    """A transposed convolution has no integer form; all that is between it and the next one does."""
    rng = np.random.default_rng(2)
    w, s, v = rng.standard_normal((4, 4, 3, 3)), rng.random((4, 1, 1)), rng.standard_normal((4, 4, 1, 1))
    constants = {"w": w, "s": s, "v": v}
    operator, inputs, attrs = BETWEEN[kind]
    nodes = [
        helper.make_node("ConvTranspose", ["x", "w"], ["a"], pads=[1, 1, 1, 1]),
        helper.make_node(operator, inputs, ["b"], **attrs), helper.make_node("Conv", ["b", "v"], ["y"]),
    ]  # fmt: skip
    arrays = {n: a.astype(np.float32) for n, a in constants.items()} | {"axes": np.array([2, 3])}
    given = {n: a for n, a in arrays.items() if n != "axes" or kind == "reduce_mean"}
    model = written(made(nodes, given, {"x": (1, 4, 8, 8)}, {"y": 1}), tmp_path)
    x = rng.standard_normal((12, 1, 4, 8, 8)).astype(np.float32)
    np.savez(tmp_path / "calib.npz", x=x)
    options = BuildOptions(precision="int8", calib=str(tmp_path / "calib.npz"), whole=True, observer="minmax")
    receipt = build(model, "host", tmp_path / "out", options).receipt
    facts = receipt["quantization"]
    assert [(k["op"].split()[0], k["code"]) for k in facts["kept_in_floats"]] == [
        ("transpose", "RESULT_IN_FLOATS"), ("conv_transpose", "NO_INTEGER_FORM"),
    ]  # fmt: skip
    assert facts["operators_in_floats"] == {"conv_transpose": 1, "transpose": 1}
    assert facts["refused"] == []
    assert any(row["op"].startswith(kind) for row in facts["layers"])
    session = onnxruntime.InferenceSession(str(model))
    with load(tmp_path / "out") as artifact:
        pairs = [[run.run(None, {"x": image})[0] for run in (artifact, session)] for image in x]
    found, wide = (np.stack(side) for side in zip(*pairs, strict=True))
    assert signal_to_noise(found, wide) > 25.0


def test_nothing_on_bytes_is_a_warning(tmp_path: Path) -> None:
    w = np.random.default_rng(3).standard_normal((4, 2, 2, 2, 2)).astype(np.float32)
    model = written(made([helper.make_node("Conv", ["x", "w"], ["y"])], {"w": w}, {"x": (1, 2, 5, 5, 5)}, {"y": 1}),
                    tmp_path)  # fmt: skip
    np.savez(tmp_path / "calib.npz", x=np.linspace(-1, 1, 1000, dtype=np.float32).reshape(4, 1, 2, 5, 5, 5))
    options = BuildOptions(precision="int8", calib=str(tmp_path / "calib.npz"), whole=True, observer="minmax")
    receipt = build(model, "host", tmp_path / "out", options).receipt
    assert [(k["op"].split()[0], k["code"]) for k in receipt["quantization"]["kept_in_floats"]] == [
        ("conv", "NO_INTEGER_FORM")
    ]  # fmt: skip
    lines = list(quantization_lines(receipt["quantization"]))
    assert any(line.lstrip().startswith("WARNING: nothing became int8") for line in lines)


def test_it_is_for_bytes(tmp_path: Path) -> None:
    model = write_transformer(tmp_path / "transformer.onnx", blocks=0)
    with pytest.raises(UsageError, match="--integers-only is for operators on bytes"):
        build(model, "host", tmp_path / "out", BuildOptions(precision="fp16", whole=True))
