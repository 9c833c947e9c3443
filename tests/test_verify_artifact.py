"""`edgec verify`: by the model that was built, on inputs that the user may choose where there is a choice."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from onnx import TensorProto, helper
from quantised import made, written

import edgec
from edgec.cli import commands
from edgec.ir.errors import UsageError
from edgec.onnx_import.importer import import_model
from edgec.options import BuildOptions
from edgec.receipt_text import compared
from edgec.reference import Reference
from edgec.verify_artifact import verify_session


def product(folder: Path, name: str, seed: int) -> Path:
    weights = np.random.default_rng(seed).standard_normal((16, 8)).astype(np.float32)
    nodes = [helper.make_node("MatMul", ["x", "w"], ["y"])]
    return written(made(nodes, {"w": weights}, {"x": (4, 16)}, {"y": 1}, opset=17), folder, name)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Artifacts of a product, in floats and with weights of 8 bits, and a model with other weights."""
    at = tmp_path_factory.mktemp("verify")
    for precision in ("float32", "w8"):
        edgec.compile(product(at, "mine", 0), "host", at / precision, precision=precision, verify_inputs=1)
    product(at, "other", 1)
    return at


def verified(folder: Path, artifact: str, model: str, *options: str) -> str:
    done = CliRunner().invoke(commands, ["verify", str(folder / artifact), "--model", str(folder / model), *options])
    if done.exception is not None:
        raise done.exception
    return done.output


@pytest.mark.parametrize("artifact", ["float32", "w8"])
def test_the_model_is_that_of_the_build(folder: Path, artifact: str) -> None:
    """What is held against golden.npz alone, a model with other weights would pass."""
    assert "y: ok" in verified(folder, artifact, "mine.onnx")
    (folder / "moved.onnx").write_bytes((folder / "mine.onnx").read_bytes())
    assert "y: ok" in verified(folder, artifact, "moved.onnx")
    with pytest.raises(UsageError, match=rf"other.onnx is not the model that .*{artifact} was built .*give mine.o"):
        verified(folder, artifact, "other.onnx")


@pytest.mark.parametrize("option", [("--inputs", "500"), ("--seed", "0"), ("--range", "x=0:1")])
def test_random_inputs_are_for_what_is_compared_on_them(folder: Path, option: tuple[str, str]) -> None:
    assert "y: ok" in verified(folder, "float32", "mine.onnx", *option)
    with pytest.raises(UsageError, match=r"is compared on the sample in golden.npz alone: leave them out"):
        verified(folder, "w8", "mine.onnx", *option)


def test_a_range_of_no_input(folder: Path) -> None:
    with pytest.raises(UsageError, match="--range q: the model has no such input; it has x"):
        verified(folder, "float32", "mine.onnx", "--range", "q=0:1")


@pytest.mark.parametrize(("inputs", "calibrated", "seed", "words"), [
    (2, 2, None, "on 2 samples of --calib;"), (3, 2, 7, "on 2 samples of --calib and 1 random input (seed 7);"),
])  # fmt: skip
def test_the_receipt_says_what_was_compared(
    inputs: int, calibrated: int, seed: int | None, words: str, tmp_path: Path
) -> None:
    np.savez(tmp_path / "calib.npz", x=np.random.default_rng(2).standard_normal((2, 4, 16)).astype(np.float32))
    receipt = edgec.compile(product(tmp_path, "m", 0), "host", tmp_path / "out", precision="w8", seed=7,
                            calib=str(tmp_path / "calib.npz"), verify_inputs=inputs)  # fmt: skip
    found = receipt["verification"]
    assert (found["inputs"], found["calibration_samples"], found["seed"]) == (inputs, calibrated, seed)
    assert words in (tmp_path / "out" / "report.html").read_text()


@pytest.mark.parametrize("precision", ["float32", "bf16", "int8-dynamic", "w8", "fp16"])
def test_whatever_is_built_is_compared_on_samples_evenly_spread(
    precision: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[float] = []
    plain = Reference.run

    def run(self: Reference, feeds: Any) -> Any:
        seen.append(feeds["x"][0, 0])
        return plain(self, feeds)

    monkeypatch.setattr(Reference, "run", run)
    x = np.random.default_rng(2).standard_normal((9, 4, 16)).astype(np.float32)
    x[:, 0, 0] = np.arange(9)
    np.savez(tmp_path / "calib.npz", x=x)
    receipt = edgec.compile(product(tmp_path, "m", 0), "host", tmp_path / "out", precision=precision,
                            calib=str(tmp_path / "calib.npz"))  # fmt: skip
    assert seen == [0, 3, 6]
    assert receipt["verification"]["calibration_samples"] == 3
    if precision != "float32":
        with np.load(tmp_path / "out/golden.npz") as golden:
            np.testing.assert_array_equal(golden["input:x"], x[0])


@pytest.mark.parametrize("moved", [False, True])
def test_the_noise_of_bytes_is_that_of_the_numbers_they_stand_for(moved: bool, tmp_path: Path) -> None:
    """Of an artifact whose every byte is a step off: the zero point would be most of the signal."""
    constants = {"s": np.float32(0.05), "z": np.uint8(200), "to": np.array([64], np.int64)}
    nodes = [helper.make_node("QuantizeLinear", ["x", "s", "z"], ["q"]),
             helper.make_node("Reshape", ["q", "to"], ["y"])]  # fmt: skip
    outputs = {"y" if moved else "q": TensorProto.UINT8}
    model = written(made(nodes if moved else nodes[:1], constants, {"x": (4, 16)}, outputs), tmp_path)
    edgec.compile(model, "host", tmp_path / "out")
    graph = import_model(model).entries["main"]
    with edgec.load(tmp_path / "out") as session:
        exact, seen = session.runner.run, []

        def off(arrays: Any) -> Any:
            (y,) = exact(arrays)
            seen.append(y)
            return [y ^ 1]

        session.runner.run = off  # type: ignore[method-assign]
        found = verify_session(session, model, graph, BuildOptions(verify_inputs=2), {}, False)
    steps = np.concatenate([y.ravel() for y in seen]).astype(np.float64) - 200
    (level,) = found.noise.values()
    assert level == round(10 * np.log10(np.mean(steps**2)), 2)
    assert float(level) < 30, "with the zero point it would be 46 dB"


def test_a_receipt_of_an_older_build_is_shown() -> None:
    assert compared({"inputs": 3, "seed": 0}) == "3 inputs", "it does not say which"
    assert compared({"inputs": 3, "seed": 0, "calibration_samples": 0}) == "3 random inputs (seed 0)"
