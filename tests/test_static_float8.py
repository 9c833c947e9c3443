"""`--precision fp8-e4m3` and `fp8-e5m2` from ONNX to an artifact."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from network import Network
from test_build import EXAMPLES, MODEL

import edgec
from edgec import driver
from edgec.bounds import MostError
from edgec.calibration import Calibration
from edgec.forms_within import Wanted
from edgec.ir import interp
from edgec.ir.errors import ToolError, VerifyError
from edgec.ir.graph import Graph
from edgec.ir.text import print_module
from edgec.receipt_text import render
from edgec.runtime import session
from edgec.runtime.errors import RunError
from edgec.static_float8 import encode_values, scale_of, static_float8
from edgec.targets.arm import target as arm

CALIB = EXAMPLES / "fashion_mnist_calib.npz"
DATA = EXAMPLES / "fashion_mnist_200.npz"
SHAPES = {"input": (1, 1, 28, 28)}


def built(target: str, folder: Path, precision: str, **options: Any) -> dict[str, Any]:
    given = {"shapes": SHAPES, "precision": precision, "calib": str(CALIB), "calib_samples": 32, **options}
    receipt: dict[str, Any] = edgec.compile(MODEL, target, folder, **given)
    return receipt


@pytest.mark.parametrize(("precision", "least"), [("fp8-e4m3", 25.0), ("fp8-e5m2", 18.0)])
def test_receipt_of_the_example(precision: str, least: float, tmp_path: Path) -> None:
    receipt = built("host", tmp_path / "narrow", precision, data=DATA)
    wide = edgec.compile(MODEL, "host", tmp_path / "float", shapes=SHAPES, verify="none")
    verification = receipt["verification"]
    assert verification["reference"] == "edgec's interpreter with the same 8-bit floats"
    assert verification["against_model"]["signal_to_noise_db"]["logits"] > least
    facts = receipt["quantization"]
    assert facts["coded_macs_share"] == 1.0
    assert facts["values_in_bytes"] == 7, "what convolutions and the matmul read, but for the input"
    assert facts["weights_in_floats"] == facts["kept_in_floats"] == []
    assert {row["format"] for row in facts["weights"]} == {precision[-4:]}
    assert all(layer["signal_to_noise_db"] > least - 6 for layer in facts["layers"])
    assert receipt["memory"]["weights_bytes"] < 0.28 * wide["memory"]["weights_bytes"]
    accuracy = receipt["accuracy"]
    assert accuracy["newly_wrong"] - accuracy["newly_right"] <= 3


def test_targets_agree(tmp_path: Path) -> None:
    """Sums of floats differ in their last bits, which decide a byte here and there."""
    found = []
    with np.load(DATA) as arrays:
        images = arrays["input"][:5]
    for target in ("host", "arm:cortex-a76"):
        folder = tmp_path / target.replace(":", "-")
        built(target, folder, "fp8-e4m3", verify_inputs=1)
        with edgec.load(folder) as session:
            found.append(np.stack([session.run(None, {"input": image[None]})[0] for image in images]))
    np.testing.assert_allclose(found[0], found[1], rtol=0.1, atol=0.02 * np.abs(found[0]).max())


def test_scales_are_powers_of_two() -> None:
    assert scale_of(448.0, "e4m3") == 1.0
    assert scale_of(449.0, "e4m3") == 2.0
    assert scale_of(100.0, "e5m2") == 2.0**-9
    assert scale_of(0.0, "e4m3") == 1.0


def test_a_value_that_leaves_stays_float() -> None:
    """It is encoded for its reader alone."""
    net = Network(2)
    y = net.op("exp", net.floats(3, 8))
    z = net.op("matmul", y, net.const(8, 4))
    assert z.op is not None
    encode_values(net.graph, [z.op], {y: 0.5}, "e4m3", net.graph.output_values())
    assert not y.type.encodings
    assert z.op.arg(0).op is not None
    assert z.op.arg(0).op.kind == "encode"
    assert z.op.arg(0).type.encodings


def products(seed: int) -> Graph:
    """Two matmuls by the same value, which is added to what they make, and a third behind them."""
    net = Network(seed)
    x = net.build.op("tanh", net.floats(6, 32))
    one, two = (net.build.op("matmul", x, net.const(32, 32), act=act) for act in ("relu", ""))
    net.named("y", net.build.op("matmul", net.build.op("add", net.build.op("add", one, two), x), net.const(32, 8)))
    for op in net.graph.ops:
        op.source = f"'{net.graph.ops.index(op)}'"
    return net.graph


def narrowed(graph: Graph, most: float) -> dict[str, Any]:
    """Within this error."""
    rng = np.random.default_rng(1)
    samples = [{"x0": rng.standard_normal((6, 32)).astype(np.float32)} for _ in range(4)]
    data = Calibration(samples, "random", 4, "")
    wanted = Wanted(data, lambda wide: MostError(most, samples, wide))
    wide = [interp.run(graph, feeds)["y"] for feeds in samples]
    facts = static_float8(graph.module, "fp8-e4m3", data, wanted=wanted)
    found = [interp.run(graph, feeds)["y"] for feeds in samples]
    error = np.linalg.norm(np.subtract(found, wide)) / np.linalg.norm(wide)
    assert facts["search"]["measured"]["error"] == pytest.approx(error, abs=2e-6), "what ships is what was tried"
    return facts


def test_a_bound_takes_floats() -> None:
    graph, again = products(3), products(3)
    facts = narrowed(graph, 0.015)
    search = facts["search"]
    assert [(trial["in_floats"], trial["within"]) for trial in search["tried"]] == [(0, False), (1, False), (2, True)]
    errors = [trial["error"] for trial in search["tried"]]
    assert errors[0] > errors[1] > 0.015 >= errors[2] == search["measured"]["error"]
    floats = [row["op"] for row in search["layers"] if row["form"] == "f32"]
    assert floats == ["matmul '5'", "matmul '2'"], "most disturbing first"
    assert sorted(row["op"] for row in facts["kept_in_floats"]) == sorted(facts["weights_in_floats"]) == sorted(floats)
    assert {row["code"] for row in facts["kept_in_floats"]} == {"BEYOND_BOUND"}
    assert facts["coded_operators"] == len(facts["weights"]) == facts["values_in_bytes"] == 1
    read = [op.arg(0).op for op in graph.ops if op.kind == "matmul"]
    assert [op.kind for op in read if op] == ["from_float8", "tanh", "add"], "what is in floats reads no bytes"
    narrowed(again, 0.015)
    assert print_module(again.module) == print_module(graph.module)


def test_a_bound_that_nothing_meets() -> None:
    with pytest.raises(VerifyError, match=r"0.0001% is not met with any narrower operator: the closest .* 2 of 3 in"):
        narrowed(products(3), 1e-6)


def test_a_core_with_the_products_reads_codes(tmp_path: Path) -> None:
    """No emulator has them: the build says so, and does not go on unless it is told to."""
    with pytest.raises(ToolError, match=r"cannot be verified here .*--verify none.* uses fp8 instructions"):
        built("arm:olympus", tmp_path / "refused", "fp8-e4m3")
    assert not (tmp_path / "refused").exists()
    receipt = built("arm:olympus", tmp_path / "out", "fp8-e4m3", verify="none")
    facts = receipt["quantization"]
    assert (facts["arithmetic"], facts["code"]) == ("fp8", "FP8_NOT_EXECUTED")
    assert facts["why"].startswith("NOT VERIFIED: no emulator has the products of 8-bit floats")
    assert facts["macs_on_codes"] > 0.95, "all but the first convolution, whose operand is the input"
    assert "verification" not in receipt
    assert "FP8_NOT_EXECUTED: NOT VERIFIED" in render(receipt)
    source = (tmp_path / "out" / "resnet8_fashion_mnist.c").read_text()
    assert "EDGEC_FLOAT8_TILE(E4M3" in source
    assert "edgec_fconv(" in source
    with pytest.raises(RunError, match="uses fp8 instructions, which no emulator here has"):
        edgec.load(tmp_path / "out")


def test_the_whole_model_with_a_model_of_the_instruction(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The plan for the core, compiled for one where C stands for the instruction: what verification would have said."""
    device = arm.choose("olympus")
    monkeypatch.setattr(driver, "choose_target", lambda _: ("arm", replace(device, flags=("-mcpu=cortex_a76",))))
    monkeypatch.setitem(session.LACKS, "emulator", frozenset())
    verification = built("arm:olympus", tmp_path / "out", "fp8-e4m3", verify_inputs=1)["verification"]
    assert verification["executed_on"].startswith("unicorn")
    assert verification["pass"]
    assert verification["against_model"]["signal_to_noise_db"]["logits"] > 25.0


def test_the_same_graph_for_a_core_without(tmp_path: Path) -> None:
    """It decodes, and the receipt has no code."""
    receipt = built("arm:neoverse-n2", tmp_path / "out", "fp8-e5m2", verify_inputs=1)
    assert "code" not in receipt["quantization"]
    assert receipt["verification"]["pass"]
