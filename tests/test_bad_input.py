"""What a user gets wrong, what a machine lacks: one sentence, an exit code, nothing half-written."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from test_build import MODEL, SHAPE

import edgec
from edgec.cli import main
from edgec.runtime.errors import RunError

BUILD = ("build", str(MODEL), "-t", "host", "-o", "out")


def said(code: int, done: subprocess.CompletedProcess[str]) -> str:
    """The one sentence on stderr."""
    message = done.stderr.removesuffix("\n")
    assert done.returncode == code, (done.returncode, message)
    assert message.startswith("edgec: "), message
    assert message.isprintable(), message
    return message


def command(words: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(words, cwd=folder, capture_output=True, text=True, check=False, timeout=300)


def fails(folder: Path, code: int, words: str, *arguments: str) -> None:
    before = sorted(p.name for p in folder.iterdir())
    message = said(code, command([sys.executable, "-m", "edgec", *arguments], folder))
    assert words in message, message
    assert sorted(p.name for p in folder.iterdir()) == before, "something was left behind"


def without(module: str, arguments: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    """edgec where a package is not installed."""
    prelude = f"import sys; sys.modules[{module!r}] = None; sys.argv = ['edgec', *{arguments!r}]"
    return command([sys.executable, "-c", f"{prelude}; from edgec.cli import main; main()"], folder)


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("artifact") / "out"
    edgec.compile(MODEL, "host", folder, shapes={"input": (1, 1, 28, 28)}, verify="none")
    return folder


@pytest.mark.parametrize(
    ("code", "words", "options"),
    [
        (2, "legal: arm, host", ("-t", "riscv")),
        (2, "legal: amx, avx2, avx512, avx512bf16, avx512vnni, neon", ("-t", "host:z80")),
        (2, "legal: apple-m1, apple-m2, cortex-a510", ("-t", "arm:cortex-m4")),
        (2, "host makes libraries for linux only", ("--os", "plan9")),
        (2, "only --target arm is emulated", ("--verify", "emulate")),
        (2, "--verify host: what is built for arm is emulated; legal: auto", ("-t", "arm", "--verify", "host")),
        (2, "--os macos: nothing here runs what is built for it: give --verify none", ("-t", "arm", "--os", "macos")),
        (2, "--function and several shapes are for packages: --target coreml", ("--function", "f:input=1x1x28x28")),
        (2, "No such option '--fly'", ("--fly",)),
        (2, "--shape input: write NAME=VALUE", ("--shape", "input")),
        (2, "write lengths as 1x3x224x224", ("--shape", "input=1x-1x28x28")),
        (2, "--shape input has 3 dimensions, and the input has 4", ("--shape", "input=1x28x28")),
        (2, "dimension 3 is 28 in the model, not 29", ("--shape", "input=1x1x28x29")),
        (2, "--shape image: the model has no such input; it has input", ("--shape", "image=1")),
        (3, "elements are allowed", ("--shape", "input=99999999999999999999x1x28x28")),
        (2, "write a number, numbers as 1,2,3, or a .npy file", ("--const", "input=abc")),
        (2, "write a number, numbers as 1,2,3, or a .npy file", ("--const", "input=missing.npy")),
        (2, "--const rate: the model has no such input; it has input", ("--const", "rate=1")),
        (2, "--const input has 1 dimensions, and the input has 4", ("--const", "input=1,2")),
        (2, "write LOW:HIGH", ("--range", "input=1")),
        (2, "write LOW:HIGH", ("--range", "input=a:b")),
        (2, "LOW must not be above HIGH", ("--range", "input=5:1")),
        (2, "must be finite numbers", ("--range", "input=0:nan")),
        (2, "--range image: the model has no such input; it has input", ("--range", "image=0:1")),
        (2, "-1 is not in the range x>=0", ("--seed", "-1")),
        (2, "0 is not in the range x>=1", ("--inputs", "0")),
        (2, "--data missing.npz cannot be read: No such file", ("--data", "missing.npz")),
    ],
)
def test_wrong_option(code: int, words: str, options: tuple[str, ...], tmp_path: Path) -> None:
    shape = () if options[0] == "--shape" else SHAPE
    fails(tmp_path, code, words, *BUILD, *shape, *options)


def test_open_dimension_is_named_with_the_option_that_binds_it(tmp_path: Path) -> None:
    fails(tmp_path, 2, "dimension 0 of input 'input' is symbolic", *BUILD)
    fails(tmp_path, 2, "such as --shape input=1x1x28x28", *BUILD)


def test_all_unsupported_operators_are_told_at_once(tmp_path: Path) -> None:
    """Unknown ones, those refused on purpose and those that need a constant, each with its node."""
    nodes = [
        helper.make_node("Sparkle", ["x"], ["a"], name="s1", domain="com.example"),
        helper.make_node("RandomNormalLike", ["x"], ["b"], name="r1"),
        helper.make_node("Reshape", ["x", "shape"], ["c"], name="v1"),
        helper.make_node("Sum", ["a", "b", "c"], ["y"]),
    ]
    inputs = [
        helper.make_tensor_value_info("x", TensorProto.FLOAT, [4]),
        helper.make_tensor_value_info("shape", TensorProto.INT64, [1]),
    ]
    output = helper.make_tensor_value_info("y", TensorProto.FLOAT, [4])
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid("com.example", 1)]
    graph = helper.make_graph(nodes, "g", inputs, [output])
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=10), tmp_path / "m.onnx")
    done = command([sys.executable, "-m", "edgec", "build", "m.onnx", "-t", "arm", "-o", "out"], tmp_path)
    message = said(4, done)
    for words in (
        "3 unsupported: ",
        "Sparkle 's1' is not a supported operator of com.example",
        "RandomNormalLike 'r1' is random",
        "Reshape 'v1' needs 'shape' to be a constant (bind it with --const shape=...)",
    ):
        assert words in message, message
    assert [p.name for p in tmp_path.iterdir()] == ["m.onnx"]


def test_model_that_is_no_file(tmp_path: Path) -> None:
    fails(tmp_path, 2, "the model 'missing.onnx' is not a file", "build", "missing.onnx", "-t", "host")
    fails(tmp_path, 2, "the model '.' is not a file", "build", ".", "-t", "host", "-o", "out")
    fails(tmp_path, 2, "the model '/dev/zero' is not a file", "build", "/dev/zero", "-t", "host", "-o", "out")


def test_output_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "mine.txt").write_text("mine")
    fails(tmp_path, 2, "file is a file", *BUILD, *SHAPE, "-o", "file")
    fails(tmp_path, 2, "file/out cannot be made: file is a file", *BUILD, *SHAPE, "-o", "file/out")
    fails(tmp_path, 2, "did not make", *BUILD, *SHAPE, "-o", "taken")
    # nobody may write there, not even root
    fails(tmp_path, 2, "cannot be written to /proc/out", *BUILD, *SHAPE, "--verify", "none", "-o", "/proc/out")
    assert (tmp_path / "file").read_text() == "mine"
    assert [p.name for p in (tmp_path / "taken").iterdir()] == ["mine.txt"]


FULL_DISK = """
import resource, sys
from pathlib import Path
from edgec.artifact import write_artifact
from edgec.ir.errors import UsageError
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))  # the kernel refuses what a full disk would
try:
    write_artifact(Path("out"), {"manifest.json": b"{}", "weights.bin": bytes(10000)})
except UsageError as error:
    sys.exit(f"edgec: {error}")
"""


def test_disk_full_while_the_artifact_is_written(artifact: Path, tmp_path: Path) -> None:
    shutil.copytree(artifact, tmp_path / "out")
    before = {p.name: p.read_bytes() for p in (tmp_path / "out").iterdir()}
    message = said(1, command([sys.executable, "-c", FULL_DISK], tmp_path))
    assert "the artifact cannot be written to out: File too large" in message
    assert [p.name for p in tmp_path.iterdir()] == ["out"]
    assert {p.name: p.read_bytes() for p in (tmp_path / "out").iterdir()} == before


def test_disk_full_while_building_or_running(artifact: Path, tmp_path: Path) -> None:
    limited = ["sh", "-c", 'ulimit -f 8; exec "$@"', "sh", sys.executable, "-m", "edgec"]
    message = said(2, command([*limited, *BUILD, *SHAPE], tmp_path))
    assert re.search(r"/.*\.c cannot be used: File too large", message)
    assert not list(tmp_path.iterdir())
    np.save(tmp_path / "x.npy", np.zeros((1, 1, 28, 28), np.float32))
    (tmp_path / "y.npz").mkdir()
    run = ["run", str(artifact), "--input", "x.npy", "--output", "y.npz"]
    assert "--output y.npz cannot be written" in said(2, command([sys.executable, "-m", "edgec", *run], tmp_path))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["x.npy", "y.npz"]


def test_wrong_arrays_at_run_time(artifact: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "wide.npy", np.zeros((1, 1, 28, 29), np.float32))
    np.save(tmp_path / "double.npy", np.zeros((1, 1, 28, 28)))
    (tmp_path / "text.npy").write_text("text")
    run = ("run", str(artifact))
    fails(tmp_path, 7, "has shape [1, 1, 28, 29], but the model takes f32[1,1,28,28]", *run, "--input", "wide.npy")
    fails(tmp_path, 7, "is float64, but the model takes f32", *run, "--input", "double.npy")
    fails(tmp_path, 7, "no input 'image'; it has 'input'", *run, "--input", "image=double.npy")
    fails(tmp_path, 7, "input 'input' f32[1,1,28,28] is missing", *run)
    fails(tmp_path, 2, "not a .npy file that can be read", *run, "--input", "text.npy")
    fails(tmp_path, 7, "there is no runner 'qpu'; the runners are host, emulator", *run, "--runner", "qpu")
    fails(tmp_path, 7, "was built for host", "diff", str(artifact), str(artifact), "--runner", "emulator")
    for runner in ("emulator", "qemu", "evaluator"):
        with pytest.raises(RunError, match=f"was built for host.*, which is not for the {runner} runner"):
            edgec.load(artifact, runner=runner)
    with pytest.raises(RunError, match="no output 'probabilities'; it has 'logits'"):
        edgec.load(artifact).run(["probabilities"], {"input": np.zeros((1, 1, 28, 28), np.float32)})


def test_tampered_artifact(artifact: Path, tmp_path: Path) -> None:
    shutil.copytree(artifact, tmp_path / "out")
    library = next((tmp_path / "out").glob("*.so"))
    content = library.read_bytes()
    library.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    fails(tmp_path, 7, f"{library.name} is not the file that was built", "run", "out")
    library.unlink()
    fails(tmp_path, 7, f"{library.name}, a part of the artifact, cannot be read", "run", "out")
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    (tmp_path / "out" / "manifest.json").write_text(json.dumps({**manifest, "inputs": [{"name": 3}]}))
    fails(tmp_path, 7, "manifest.json is damaged", "run", "out")
    (tmp_path / "out" / "manifest.json").write_text("{")
    fails(tmp_path, 7, "manifest.json is not JSON", "run", "out")


def test_data_that_does_not_fit(tmp_path: Path) -> None:
    images = np.zeros((2, 1, 28, 28), np.float32)
    np.savez(tmp_path / "none.npz", labels=np.zeros(2))
    np.savez(tmp_path / "few.npz", input=images, labels=np.zeros(5))
    np.savez(tmp_path / "half.npz", input=images, labels=np.array([0.0, 1.5]))
    np.savez(tmp_path / "below.npz", input=images, labels=np.array([3, -1]))
    np.savez(tmp_path / "beyond.npz", input=images, labels=np.array([9, 10]))
    (tmp_path / "zip.npz").write_bytes(b"PK\x03\x04" + bytes(50))
    cases = (
        ("has no array 'input'", "none"), ("for 5 labels", "few"), ("is not an .npz file", "zip"),
        ("`labels` are no class numbers", "half"), ("`labels` are no class numbers", "below"),
        ("beyond.npz: `labels` hold 10, and the model's first output has 10 numbers an item", "beyond"),
    )  # fmt: skip
    for words, file in cases:
        fails(tmp_path, 2, words, *BUILD, *SHAPE, "--data", f"{file}.npz")
    os.mkfifo(tmp_path / "pipe")
    for option in ("--data", "--labels"):
        words = f"{option} pipe is a folder, a pipe or a device; legal is a file"
        fails(tmp_path, 2, words, *BUILD, *SHAPE, option, "pipe")


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_build_that_is_stopped_leaves_nothing(number: int, code: int, tmp_path: Path) -> None:
    (tmp_path / "temporary").mkdir()
    words = [sys.executable, "-m", "edgec", *BUILD, *SHAPE]
    environment = {**os.environ, "TMPDIR": str(tmp_path / "temporary")}

    def heeded() -> None:
        """What a shell starts in the background ignores interrupts, and hands that on."""
        signal.signal(number, signal.SIG_DFL)

    with subprocess.Popen(words, cwd=tmp_path, env=environment, stderr=subprocess.PIPE, preexec_fn=heeded) as build:
        while build.poll() is None and not list((tmp_path / "temporary").glob("edgec-*")):
            time.sleep(0.01)
        build.send_signal(number)
        assert build.wait(60) == code, build.stderr
    assert not list((tmp_path / "temporary").glob("edgec-*"))
    assert not (tmp_path / "out").exists()


def test_too_little_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def full(*_: object, **__: object) -> None:
        raise MemoryError

    monkeypatch.setattr("edgec.cli.commands.main", full)
    monkeypatch.setattr("signal.signal", lambda *_: None)  # the test's own process goes on
    with pytest.raises(SystemExit) as done:
        main()
    assert done.value.code == 9
    assert "too little memory" in capsys.readouterr().err


@pytest.mark.parametrize("option", ["--fix", "-o=out", "--shape=x=1", "--calib=x.npz", "--seed=1", "-t=coreml"])
def test_a_doctor_without_a_model(option: str, tmp_path: Path) -> None:
    fails(tmp_path, 2, "is about a model: give MODEL before it", "doctor", *option.split("=", 1))


def test_missing_compiler(tmp_path: Path) -> None:
    message = said(6, without("ziglang", [*BUILD, *SHAPE], tmp_path))
    assert "zig is missing: pip install ziglang" in message
    assert not list(tmp_path.iterdir())


def test_missing_emulator(tmp_path: Path) -> None:
    build = ["build", str(MODEL), "-t", "arm", "-o", "out", "--verify", "emulate", *SHAPE]  # auto may find qemu
    message = said(6, without("unicorn", build, tmp_path))
    assert "build with --verify none to go without" in message
    assert "pip install 'edgec[emulator]'" in message
    assert not list(tmp_path.iterdir())


def test_changed_external_data_is_not_unchanged(tmp_path: Path) -> None:
    """The weights in a file of any name are a part of what the artifact is built from."""
    weights = np.arange(4, dtype=np.float32)
    (tmp_path / "w.bin").write_bytes(weights.tobytes())
    tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[4], data_location=TensorProto.EXTERNAL)
    tensor.external_data.add(key="location", value="w.bin")
    ports = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [4]) for name in "xy"]
    graph = helper.make_graph([helper.make_node("Add", ["x", "w"], ["y"])], "g", ports[:1], ports[1:], [tensor])
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    (tmp_path / "m.onnx").write_bytes(made.SerializeToString())
    for added in (0, 10):
        (tmp_path / "w.bin").write_bytes((weights + added).tobytes())
        edgec.compile(tmp_path / "m.onnx", "host", tmp_path / "out", verify="none")
        with edgec.load(tmp_path / "out") as session:
            found = session.run(None, {"x": np.zeros(4, np.float32)})[0]
        np.testing.assert_array_equal(found, weights + added)
