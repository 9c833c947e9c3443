"""`edgec inspect` says what is in a model and in an artifact, and names everything that is not supported."""

from __future__ import annotations

import json
from pathlib import Path

import onnx
from onnx import TensorProto, helper
from test_build import MODEL, SHAPE, command
from test_cli import fails

# resnet8 by hand: stem 1->16, three stages of 16, 32, 64 channels with a 1x1 shortcut in the last two, and 64x10
MACS = (
    28 * 28 * 16 * 9 + 2 * 28 * 28 * 16 * 16 * 9
    + 14 * 14 * 32 * (16 * 9 + 32 * 9 + 16)
    + 7 * 7 * 64 * (32 * 9 + 64 * 9 + 32)
    + 64 * 10
)  # fmt: skip


def test_model(tmp_path: Path) -> None:
    done = command("inspect", str(MODEL), *SHAPE, "-t", "arm:cortex-a76", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    lines = [line.strip() for line in done.stdout.splitlines()]
    assert "9 Conv" in lines
    assert "9 conv" in lines
    assert "input  input f32[1,1,28,28]" in lines
    assert any(line.startswith(f"{MACS:,} multiply-adds, ") for line in lines)
    assert any("for arm:cortex-a76 (cortex-a76): " in line for line in lines)
    assert any(line.startswith("scratch ") for line in lines)


def test_artifact_says_what_the_model_said(tmp_path: Path) -> None:
    build = command("build", str(MODEL), *SHAPE, "-t", "host", "-o", "out", "--verify", "none", cwd=tmp_path)
    assert build.returncode == 0, build.stderr
    model = command("inspect", str(MODEL), *SHAPE, "-t", "host", cwd=tmp_path).stdout.splitlines()
    artifact = command("inspect", "out", cwd=tmp_path).stdout.splitlines()
    memory = next(i for i, line in enumerate(model) if line.startswith("scratch "))
    assert artifact[-len(model[memory:]) :] == model[memory:]
    plan = json.loads((tmp_path / "out" / "plan.json").read_text())
    assert sum(c["macs"] for c in plan["calls"]) == MACS
    for buffer in plan["buffers"]:
        assert buffer["offset"] + buffer["bytes"] <= plan["scratch_bytes"]
        for other in plan["buffers"]:
            if other is not buffer and buffer["first"] <= other["last"] and other["first"] <= buffer["last"]:
                ends = (buffer["offset"] + buffer["bytes"], other["offset"] + other["bytes"])
                assert buffer["offset"] >= ends[1] or other["offset"] >= ends[0], (buffer, other)
    fails(tmp_path, 2, "built already", "inspect", "out", "-t", "arm")


def test_every_unsupported_operator_is_named(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Relu", ["x"], ["a"]),
        helper.make_node("NoSuchOp", ["a"], ["b"], name="first", domain="com.example"),
        helper.make_node("OtherOp", ["a"], ["c"], name="second", domain="com.example"),
        helper.make_node("Add", ["b", "c"], ["y"]),
    ]
    ports = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [4]) for n in ("x", "y")]
    graph = helper.make_graph(nodes, "g", ports[:1], ports[1:])
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("com.example", 1)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=9), tmp_path / "m.onnx")
    done = command("inspect", "m.onnx", cwd=tmp_path)
    assert done.returncode == 4
    assert "com.example.NoSuchOp" in done.stdout
    refused = done.stdout.split("not supported: 2\n")[1].splitlines()
    assert "first" in refused[0]
    assert "second" in refused[1]
    assert done.stderr == "edgec: m.onnx cannot be built: 2 unsupported\n"
