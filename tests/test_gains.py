"""What the receipt says of cost, gains and what was not applied: figures by hand, codes that are true."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import edgec
from edgec.gains import DID, NOT, account, not_applied
from edgec.ir.build import Builder
from edgec.ir.graph import Graph, Module
from edgec.ir.types import Type
from edgec.passes import PASSES
from edgec.pipeline import run_pipeline
from edgec.plan.plan import Block, Plan
from edgec.plan.schedule import Segment
from edgec.receipt_text import account_lines
from edgec.step_costs import StepCost, step_costs
from edgec.targets.arm import target as arm
from edgec.targets.c.build import make_plan
from edgec.targets.c.lower.row_schedule import schedule_graph

DEVICE = arm.choose("cortex-a76")
UNIT: Any = dict(strides=(1, 1), dilations=(1, 1), layout="nhwc", pads=(0, 0, 0, 0))


def weights(b: Builder, *shape: int) -> Any:
    return b.const(np.random.default_rng(1).standard_normal(shape), "f32")


def planned(graph: Graph) -> tuple[Plan, list[StepCost], dict[str, Any]]:
    segments = schedule_graph(graph, DEVICE.isa, DEVICE.memory, 1)
    plan = make_plan(graph, DEVICE, "unit", 1, segments)
    costs = step_costs(plan, DEVICE)
    return plan, costs, account(graph, DEVICE, segments, plan, costs, {}, 1)


def residual() -> Graph:
    """An inverted residual over a large image: 1x1, depthwise 3x3, 1x1."""
    graph = Graph(Module())
    b = Builder(graph)
    x = graph.add_input("x", Type("f32", (1, 96, 96, 16)))
    y = b.op("conv", x, weights(b, 96, 16, 1, 1), **UNIT)
    y = b.op("conv", y, weights(b, 96, 1, 3, 3), **{**UNIT, "pads": (1, 1, 1, 1)}, groups=96)
    graph.outputs.append(("y", b.op("conv", y, weights(b, 16, 96, 1, 1), **UNIT)))
    return graph


def test_a_block_saves_what_stays_inside() -> None:
    plan, costs, told = planned(residual())
    assert [len(s.stages) for s in plan.steps if isinstance(s, Block)] == [3] == [len(plan.steps) + 2]
    image, wide = 96 * 96 * 16 * 4, 96 * 96 * 96 * 4
    packed = {p.buffer for p in plan.steps[0].pointers() if p.buffer.space == "weights"}
    assert costs[0].bytes == 2 * image + sum(b.nbytes for b in packed)
    assert costs[0].macs == costs[0].executed == 96 * 96 * 96 * (16 + 9 + 16)
    (row,) = told["gains"]
    assert (row["by"], row["count"]) == ("blocks", 1)
    # both inner values written and read once; the one that the depthwise reads has a column of zeros on either side;
    # biases may be packed otherwise
    assert 0 <= row["bytes_saved"] - (2 * wide + 2 * wide * 98 // 96) < 1024
    assert row["scratch_bytes_saved"] > 2 * wide - plan.scratch_bytes
    assert told["cost"]["bytes"] == costs[0].bytes
    assert told["cost"]["operations_per_byte"] == round(2 * costs[0].macs / costs[0].bytes, 3)


def test_slices_are_told() -> None:
    """The same block in two slices of the wide value: two steps, each with half of the products and both images."""
    graph = residual()
    segments = [Segment(tuple(graph.ops), 4, 2)]
    plan = make_plan(graph, DEVICE, "unit", 1, segments)
    costs = step_costs(plan, DEVICE)
    told = account(graph, DEVICE, segments, plan, costs, {}, 1)
    assert {r["by"]: r["count"] for r in told["gains"]} == {"blocks": 1, "slices": 1}
    assert [c.macs for c in costs] == [96 * 96 * 48 * (16 + 9 + 16)] * 2
    image = 96 * 96 * 16 * 4
    for cost, step in zip(costs, plan.steps, strict=True):
        packed = {p.buffer for p in step.pointers() if p.buffer.space == "weights"}
        assert cost.bytes == 2 * image + sum(b.nbytes for b in packed)


def test_winograd_multiplies_less() -> None:
    graph = Graph(Module())
    b = Builder(graph)
    x = graph.add_input("x", Type("f32", (1, 30, 30, 64)))
    y = b.op("conv", x, weights(b, 64, 64, 3, 3), **{**UNIT, "pads": (1, 1, 1, 1)})
    graph.outputs.append(("y", b.op("conv", y, weights(b, 64, 64, 3, 3), **UNIT)))
    _, costs, told = planned(graph)
    direct = [9 * 30 * 30 * 64 * 64, 9 * 28 * 28 * 64 * 64]
    tiles = [8 * 8, 7 * 7]  # of 4 x 4 results, each 6 x 6 products
    assert [c.macs for c in costs] == direct
    assert [c.executed for c in costs] == [t * 36 * 64 * 64 for t in tiles]
    (row,) = [r for r in told["gains"] if r["by"] == "winograd"]
    assert row["count"] == 2
    assert row["macs_saved"] == sum(direct) - sum(t * 36 * 64 * 64 for t in tiles)
    assert {r["code"]: r["count"] for r in told["not_applied"]} == {"WINOGRAD_ALONE": 2}


def test_the_waterline() -> None:
    """A vector times a matrix waits for the matrix, a matrix times a small one for its multiply-adds."""
    graph = Graph(Module())
    b = Builder(graph)
    x = graph.add_input("x", Type("f32", (1, 1024)))
    z = graph.add_input("z", Type("f32", (256, 64)))
    graph.outputs += [("y", b.op("matmul", x, weights(b, 1024, 1024))), ("u", b.op("matmul", z, weights(b, 64, 64)))]
    graph.outputs.append(("v", b.op("exp", z)))
    _, costs, told = planned(graph)
    assert [c.under_waterline for c in costs] == [True, False, False]
    assert costs[0].memory_cycles == costs[0].bytes / 4  # 4 MB lie beyond every cache: 4 bytes a cycle
    assert costs[0].attainable == 1024 * 1024 / 4 / (costs[0].bytes / 4)
    assert costs[1].arithmetic_cycles == 256 * 64 * 64 / 4
    assert costs[1].attainable == 1.0
    assert told["cost"]["under_waterline"] == {"steps": 1, "macs": 1024 * 1024}
    assert told["cost"]["steps_without_macs"] == 1


def test_codes() -> None:
    graph = Graph(Module())
    b = Builder(graph)
    x = graph.add_input("x", Type("f32", (1, 24, 24, 4)))
    first = b.op("relu", x)  # its operand is an input
    y = b.op("conv", first, weights(b, 4, 4, 3, 3), **UNIT)  # too small for Winograd
    shared = b.op("tanh", y)  # y leaves
    y2 = b.op("conv", x, weights(b, 4, 4, 1, 1), **UNIT, act="relu")
    taken = b.op("sigmoid", y2)
    turned = b.op("transpose", shared, perm=(0, 2, 1, 3))
    graph.outputs = [("y", y), ("s", shared), ("t", taken), ("u", turned)]
    segments = schedule_graph(graph, DEVICE.isa, DEVICE.memory, 1)
    found = {r["code"]: r["operators"] for r in not_applied(graph, DEVICE.isa, segments, {})}
    assert found == {
        "ACTIVATION_HOST_TAKEN": ["sigmoid"],
        "ACTIVATION_NO_HOST": ["relu"],
        "ACTIVATION_OPERAND_SHARED": ["tanh"],
        "BLOCK_NO_GAIN": ["tanh"],
        "NO_ROW_KERNEL": ["transpose"],
        "TRANSPOSE_LEFT": ["transpose"],
        "WINOGRAD_NOT_CHEAPER": ["conv"],
    }
    assert not PASSES["fuse_activation"](graph)


def test_halves() -> None:
    graph = Graph(Module())
    b = Builder(graph)
    graph.outputs.append(("y", b.op("exp", graph.add_input("x", Type("f16", (8,))))))
    effects = run_pipeline(graph.module, ("widen_halves",))
    (row,) = [r for r in not_applied(graph, DEVICE.isa, [], effects) if r["code"] == "HALVES_IN_FLOAT32"]
    assert row["count"] == 2  # a cast before and one behind


def test_the_tables_name_what_there_is() -> None:
    assert set(DID) <= set(PASSES)
    assert not any(text.endswith(".") for text in (*DID.values(), *NOT.values()))


def with_norm(path: Path) -> None:
    """Conv, BatchNormalization, Relu."""
    rng = np.random.default_rng(2)
    arrays = {"w": rng.standard_normal((8, 3, 3, 3)), **{n: rng.random(8) + 0.5 for n in ("s", "b", "m", "v")}}
    nodes = [helper.make_node("Conv", ["x", "w"], ["a"]),
             helper.make_node("BatchNormalization", ["a", "s", "b", "m", "v"], ["n"]),
             helper.make_node("Relu", ["n"], ["y"])]  # fmt: skip
    graph = helper.make_graph(
        nodes, "g", [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 9, 9])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(a.astype(np.float32), n) for n, a in arrays.items()],
    )  # fmt: skip
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)


@pytest.mark.parametrize("target", ["host", "arm"])
def test_a_build_tells(target: str, tmp_path: Path) -> None:
    with_norm(tmp_path / "m.onnx")
    receipt = edgec.compile(tmp_path / "m.onnx", target, tmp_path / "out", verify="none")
    assert {r["by"]: r["count"] for r in receipt["gains"]} == {"fold_batch_norm": 2, "fuse_activation": 1}
    assert receipt["passes"]["fold_batch_norm"] == {"went": {"add": 1, "mul": 1}, "came": {}}
    assert receipt["cost"]["macs"] == receipt["macs"] == 7 * 7 * 8 * 27
    blocks = {"by": "blocks", "what": "blocks", "count": 2, "bytes_saved": 5000, "scratch_bytes_saved": -64}
    lines = "\n".join(account_lines({**receipt, "gains": [*receipt["gains"], blocks]}))
    assert "gained: blocks: 2, saving 5,000 B of traffic, at the cost of 64 B of scratch" in lines
    assert "gained: norms, scales and shifts folded into the weights before them: 2" in lines
    assert "modelled: " in lines
