"""onnxruntime's DynamicQuantizeLSTM, as quantize_dynamic writes it and with every kind of weights that it may have."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper, save_model
from onnxruntime import quantization
from quantised import MICROSOFT
from test_build import command

import edgec
from edgec.ir import interp
from edgec.ir.errors import ModelError
from edgec.onnx_import.importer import import_model

Arrays = dict[str, np.ndarray[Any, Any]]
T, WIDTH, H = 6, 10, 24
RESULTS = ("Y", "Y_h", "Y_c")


def saved(path: Path, op: str, names: tuple[str, ...], constants: Arrays, x: Arrays, **attrs: Any) -> Path:
    """A model of one node, whose operands are `names`: constants, inputs as in `x`, or nothing."""
    domain = MICROSOFT if op.startswith("Dynamic") else ""
    node = helper.make_node(op, names, RESULTS, name="it", domain=domain, hidden_size=H, **attrs)
    graph = helper.make_graph(
        [node], "g",
        [helper.make_tensor_value_info(n, helper.np_dtype_to_tensor_dtype(v.dtype), v.shape) for n, v in x.items()],
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, None) for n in RESULTS],
        [numpy_helper.from_array(v, n) for n, v in constants.items()],
    )  # fmt: skip
    opsets = [helper.make_opsetid("", 14), helper.make_opsetid(MICROSOFT, 1)]
    save_model(helper.make_model(graph, opset_imports=opsets, ir_version=8), path)
    return path


def inputs(batch: int, directions: int, lens: bool = False, states: bool = False, seed: int = 7) -> Arrays:
    rng = np.random.default_rng(seed)
    found = {"x": rng.standard_normal((T, batch, WIDTH)).astype(np.float32)}
    if lens:
        found["lens"] = np.array([3, 5, 0][:batch], np.int32)
        found["x"][5] *= 9.0  # a step that none has: it must not widen the range
    if states:
        found |= {n: rng.uniform(-1, 1, (directions, batch, H)).astype(np.float32) for n in ("h0", "c0")}
    return found


def weights(directions: int) -> Arrays:
    rng = np.random.default_rng(8)
    shapes = {"W": (directions, 4 * H, WIDTH), "R": (directions, 4 * H, H), "B": (directions, 8 * H)}
    return {n: rng.uniform(-0.5, 0.5, s).astype(np.float32) for n, s in shapes.items()}


def names_of(x: Mapping[str, Any]) -> tuple[str, ...]:
    return ("x", "W", "R", "B", *(n if n in x else "" for n in ("lens", "h0", "c0")))


def noise(found: Mapping[str, Any], right: Any) -> float:
    """The largest share of an output's power."""
    return max(float(np.sum((found[n] - y) ** 2) / np.sum(y**2)) for n, y in zip(RESULTS, right, strict=True))


def by_onnxruntime(path: Path, x: Arrays) -> Any:
    """On one thread: more of them give parts of the batch scales of their own."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"]).run(None, x)


def interpreted(path: Path, x: Arrays) -> dict[str, Any]:
    return interp.run(import_model(path).entries["main"], x)


@pytest.mark.parametrize("direction", ["forward", "reverse", "bidirectional"])
@pytest.mark.parametrize("per_channel", [False, True])
@pytest.mark.parametrize(("batch", "more"), [(1, {}), (3, {}), (1, {"states": True}), (3, {"lens": True}),
                                             (2, {"lens": True, "states": True})])  # fmt: skip
def test_what_quantize_dynamic_writes(
    direction: str, per_channel: bool, batch: int, more: dict[str, bool], tmp_path: Path
) -> None:
    d = 2 if direction == "bidirectional" else 1
    x = inputs(batch, d, **more)
    plain = saved(tmp_path / "plain.onnx", "LSTM", names_of(x), weights(d), x, direction=direction)
    path = tmp_path / "dynamic.onnx"
    quantization.quantize_dynamic(str(plain), str(path), per_channel=per_channel)
    assert "DynamicQuantizeLSTM" in path.read_bytes().decode("latin-1")
    right = by_onnxruntime(path, x)
    assert noise(interpreted(path, x), right) < 1e-8  # a byte that is a step off makes more
    assert noise(interpreted(plain, x), right) > 1e-5  # what bytes change is far more


@pytest.mark.parametrize("target", ["host", "arm:cortex-a76", "arm:cortex-a72"])
def test_a_build_has_bytes(target: str, tmp_path: Path) -> None:
    x = inputs(1, 2, states=True)
    plain = saved(tmp_path / "plain.onnx", "LSTM", names_of(x), weights(2), x, direction="bidirectional")
    path = tmp_path / "dynamic.onnx"
    quantization.quantize_dynamic(str(plain), str(path), per_channel=True)
    receipt = edgec.compile(path, target, tmp_path / "out")
    assert receipt["quantization"]["precision"] == "int8, dynamic, the model's own"
    assert receipt["quantization"]["macs_share"] == 1.0
    assert receipt["quantization"]["operators_on_bytes"] == 2
    assert receipt["verification"]["pass"]
    by_kind = receipt["memory"]["weights_by_kind"]
    assert by_kind["i8"] >= 2 * 4 * H * (WIDTH + H)
    assert sum(n for kind, n in by_kind.items() if kind != "i8") < 2 * 4 * H * 4 * 8  # scales, sums and biases
    with edgec.load(tmp_path / "out") as session:
        found = dict(zip(RESULTS, session.run(None, x), strict=True))
    assert noise(found, by_onnxruntime(path, x)) < 1e-8


def of_bytes(dtype: Any, per_unit: bool, zero: int, d: int = 1) -> Arrays:
    """Weights as the operator has them: [directions, inputs, units]."""
    rng, info = np.random.default_rng(9), np.iinfo(dtype)
    found = {n: rng.integers(info.min, info.max + 1, (d, k, 4 * H)).astype(dtype) for n, k in (("W", WIDTH), ("R", H))}
    found["B"] = rng.uniform(-0.5, 0.5, (d, 8 * H)).astype(np.float32)
    shape = (d, 4 * H) if per_unit else (d,)
    for n in ("W", "R"):
        found[f"{n}s"] = rng.uniform(0.001, 0.003, shape).astype(np.float32)
        found[f"{n}z"] = np.full(shape, zero, dtype)
    return found


OWN = ("x", "W", "R", "B", "", "", "", "", "Ws", "Wz", "Rs", "Rz")


@pytest.mark.parametrize("per_unit", [False, True])
@pytest.mark.parametrize(("dtype", "zero"), [(np.int8, 0), (np.uint8, 128), (np.uint8, 101), (np.uint8, 0),
                                             (np.uint8, 255)])  # fmt: skip
def test_weights_of_either_sign(dtype: Any, zero: int, per_unit: bool, tmp_path: Path) -> None:
    x = inputs(2, 2)
    attrs = {"direction": "bidirectional", "clip": 3.0, "activations": ["Sigmoid", "Tanh", "Relu"] * 2}
    path = saved(tmp_path / "m.onnx", "DynamicQuantizeLSTM", OWN, of_bytes(dtype, per_unit, zero, 2), x, **attrs)
    assert noise(interpreted(path, x), by_onnxruntime(path, x)) < 1e-8


def test_weights_beyond_a_byte_are_multiplied_as_bytes(tmp_path: Path) -> None:
    x = inputs(1, 1)
    path = saved(tmp_path / "m.onnx", "DynamicQuantizeLSTM", OWN, of_bytes(np.uint8, False, 101), x)
    receipt = edgec.compile(path, "host", tmp_path / "out")
    assert receipt["quantization"]["operators_in_plain_integers"] == {}
    assert receipt["memory"]["weights_by_kind"]["i8"] >= 2 * 4 * H * (WIDTH + H)  # two terms
    with edgec.load(tmp_path / "out") as session:
        found = dict(zip(RESULTS, session.run(None, x), strict=True))
    assert noise(found, by_onnxruntime(path, x)) < 1e-8


def test_peepholes_and_a_forget_gate_of_the_input(tmp_path: Path) -> None:
    x = inputs(1, 1)
    constants = of_bytes(np.int8, True, 0) | {"P": np.linspace(-1, 1, 3 * H, dtype=np.float32).reshape(1, -1)}
    names = (*OWN[:7], "P", *OWN[8:])
    path = saved(tmp_path / "m.onnx", "DynamicQuantizeLSTM", names, constants, x, input_forget=1)
    assert noise(interpreted(path, x), by_onnxruntime(path, x)) < 1e-8


BROKEN = [
    ({"Ws": np.ones(3, np.float32)}, "has a W_scale of the shape [3]; legal are [1], a number a direction, and [1, 9"),
    ({"Rz": np.zeros((1, 5), np.int8)}, "has a R_zero_point of the shape [1, 5]; legal are [1]"),
    ({"Rs": np.array([np.nan], np.float32)}, "has a R_scale that is not all positive finite numbers"),
    ({"Ws": np.zeros(1, np.float32)}, "has a W_scale that is not all positive finite numbers"),
    ({"Wz": np.zeros(1, np.uint8)}, "has a W_zero_point of uint8 beside weights of int8; legal is the same type"),
    ({"Wz": np.full((1, 4 * H), 3, np.int8)}, "has a W_zero_point other than 0 for gate units of int8; legal is 0"),
    ({"R": np.zeros((1, 4 * H, H), np.int8)}, "has R of the shape [1, 96, 24]; legal is [1, 24, 96]"),
    ({"W": np.zeros((1, WIDTH, 4 * H), np.float32)}, "has W of float32; legal are int8 and uint8"),
]


@pytest.mark.parametrize(("wrong", "words"), BROKEN)
def test_what_is_not_legal(wrong: Arrays, words: str, tmp_path: Path) -> None:
    constants = of_bytes(np.int8, False, 0) | wrong
    path = saved(tmp_path / "m.onnx", "DynamicQuantizeLSTM", OWN, constants, inputs(1, 1))
    with pytest.raises(ModelError) as error:
        import_model(path)
    assert words in str(error.value)
    assert "it" in str(error.value)


def test_units_with_zero_points_of_their_own(tmp_path: Path) -> None:
    constants = of_bytes(np.uint8, True, 128)
    constants["Rz"][0, 7] = 129
    path = saved(tmp_path / "m.onnx", "DynamicQuantizeLSTM", OWN, constants, inputs(1, 1))
    with pytest.raises(ModelError, match="differs from gate unit to gate unit; legal is one number for all"):
        import_model(path)


def test_a_command_says_one_sentence(tmp_path: Path) -> None:
    constants = of_bytes(np.int8, False, 0) | {"Rs": np.ones((2, 2), np.float32)}
    path = saved(tmp_path / "m.onnx", "DynamicQuantizeLSTM", OWN, constants, inputs(1, 1))
    done = command("build", str(path), "-t", "host", "-o", "out", cwd=tmp_path)
    assert done.returncode != 0
    assert "has a R_scale of the shape [2, 2]" in done.stderr
    assert not (tmp_path / "out").exists()
