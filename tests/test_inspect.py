"""`edgec inspect` says what is in a model and in an artifact, and names everything that is not supported."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
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
    told = next(i for i, line in enumerate(model) if line.startswith("  modelled: "))
    assert artifact[-len(model[told:]) :] == model[told:]
    plan = json.loads((tmp_path / "out" / "plan.json").read_text())
    # a line a step with its figures and operators, a line a buffer
    steps = next(i for i, line in enumerate(artifact) if line.startswith(f"{len(plan['calls'])} steps: "))
    memory = next(i for i, line in enumerate(artifact) if line.startswith("scratch "))
    listed = [line for line in artifact[steps + 1 : memory] if not line.startswith("      ")]
    for i, (line, call) in enumerate(zip(listed, plan["calls"], strict=True)):
        assert line.split()[:3] == [str(i), f"{call['macs']:,}", f"{call['bytes']:,}"]
        assert call["source"] in line
    lying = {tuple(line.split()[:2]) for line in artifact[memory + 1 :]}
    assert lying == {(f"{b['offset']:,}", f"{b['bytes']:,}") for b in plan["buffers"]}
    assert sum(c["macs"] for c in plan["calls"]) == MACS
    for buffer in plan["buffers"]:
        assert buffer["offset"] + buffer["bytes"] <= plan["scratch_bytes"]
        for other in plan["buffers"]:
            if other is not buffer and buffer["first"] <= other["last"] and other["first"] <= buffer["last"]:
                ends = (buffer["offset"] + buffer["bytes"], other["offset"] + other["bytes"])
                assert buffer["offset"] >= ends[1] or other["offset"] >= ends[0], (buffer, other)
    fails(tmp_path, 2, "built already", "inspect", "out", "-t", "arm")


def test_blocks_are_listed(tmp_path: Path) -> None:
    """A 1x1, a depthwise 3x3 and a 1x1 over a large image: a block of three, and a copy from channels first."""
    rng = np.random.default_rng(0)
    shapes = {"a": (96, 16, 1, 1), "b": (96, 1, 3, 3), "c": (16, 96, 1, 1)}
    arrays = [numpy_helper.from_array(rng.standard_normal(s).astype(np.float32), n) for n, s in shapes.items()]
    nodes = [
        helper.make_node("Conv", ["x", "a"], ["p"], name="wide"),
        helper.make_node("Conv", ["p", "b"], ["q"], name="depth", pads=[1, 1, 1, 1], group=96),
        helper.make_node("Conv", ["q", "c"], ["y"], name="narrow"),
    ]
    ports = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [1, 16, 96, 96]) for n in ("x", "y")]
    graph = helper.make_graph(nodes, "g", ports[:1], ports[1:], arrays)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.save(model, tmp_path / "m.onnx")
    build = command("build", "m.onnx", "-t", "arm", "-o", "out", "--verify", "none", cwd=tmp_path)
    assert build.returncode == 0, build.stderr
    plan = json.loads((tmp_path / "out" / "plan.json").read_text())
    (call,) = [c for c in plan["calls"] if len(c.get("block", {"stages": ()})["stages"]) > 1]
    block = call["block"]
    rings = [s["ring_bytes"] for s in block["stages"]]
    assert block["images"] == 1
    assert rings[-1] == 0
    assert sum(rings) == call["own_bytes"]
    # a ring of each band: whole rows of 96 channels, two columns of zeros where the depthwise reads
    wide = next(i for i, s in enumerate(block["stages"]) if s["function"] == "edgec_conv")
    assert rings[wide] >= block["bands"] * block["rows_at_a_time"] * 98 * 96 * 4
    assert rings[wide] < 96 * 98 * 96 * 4
    lines = command("inspect", "out", cwd=tmp_path).stdout.splitlines()
    (head,) = [i for i, line in enumerate(lines) if " stages, " in line]
    assert f"{block['bands']} bands of 1 images, rings {call['own_bytes']:,} B" in lines[head]
    for line, stage in zip(lines[head + 1 :], block["stages"][:-1], strict=False):
        assert line.strip() == f"{stage['function']}: {stage['rows']} rows, ring {stage['ring_bytes']:,} B"


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
