"""report.html: everything of the receipt is there, nothing of a name becomes markup."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from test_build import EXAMPLES, MODEL

import edgec
from edgec.report import report

SHAPES = {"input": (1, 1, 28, 28)}
VOID = {"meta", "br"}


class Page(HTMLParser):
    """Tables by the heading before them, as rows of texts; attributes of rectangles; every tag must be closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: set[str] = set()
        self.tables: dict[str, list[list[str]]] = {}
        self.marked: dict[str, list[bool]] = {}
        self.rectangles: list[dict[str, Any]] = []
        self.heading = ""
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attributes: Any) -> None:
        self.seen.add(tag)
        if tag not in VOID:
            self.open.append(tag)
        if tag == "h2":
            self.heading = ""
        if tag == "tr":
            self.tables.setdefault(self.heading, []).append([])
            self.marked.setdefault(self.heading, []).append(dict(attributes).get("class") == "bad")
        if tag in ("td", "th"):
            self.tables[self.heading][-1].append("")
        if tag == "rect":
            self.rectangles.append(dict(attributes))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "h2" in self.open:
            self.heading += data
        if {"td", "th"} & set(self.open):
            self.tables[self.heading][-1][-1] += data


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("report") / "out"
    edgec.compile(MODEL, "host", out, shapes=SHAPES, layers=True, data=EXAMPLES / "fashion_mnist_200.npz",
                  labels=EXAMPLES / "fashion_mnist_labels.txt")  # fmt: skip
    return out


def test_everything_is_there(built: Path) -> None:
    receipt = json.loads((built / "receipt.json").read_text())
    plan = json.loads((built / "plan.json").read_text())
    page = Page((built / "report.html").read_text())
    sizes = dict(page.tables["Sizes"][1:])
    assert sizes["scratch"] == f"{receipt['memory']['scratch_bytes']:,}"
    assert sizes["stack"] == f"{receipt['memory']['stack_bytes']:,}"
    assert [row[0] for row in page.tables["Outputs"][1:]] == ["logits"]
    assert dict(page.tables["Accuracy"])["right"] == f"{receipt['accuracy']['right']} of 200"
    layers = page.tables["Layers"][1:]
    assert [row[0] for row in layers] == [layer["op"] for layer in receipt["layers"]]
    assert [row[4] for row in layers] == [layer.get("tensor", "") for layer in receipt["layers"]]
    assert not any(page.marked["Layers"])
    assert [row[0] for row in page.tables["What was not, and why"][1:]] == [r["code"] for r in receipt["not_applied"]]
    steps = page.tables["Modelled cost"][1:]
    cycles = [plan["calls"][int(row[0])]["modelled_cycles"] for row in steps]
    assert cycles == sorted((call["modelled_cycles"] for call in plan["calls"]), reverse=True)
    assert sum(float(row[2].rstrip("%")) for row in steps) == pytest.approx(100, abs=1)


def test_instructions_where_they_were_counted(built: Path) -> None:
    receipt = json.loads((built / "receipt.json").read_text())
    plan = json.loads((built / "plan.json").read_text())
    receipt["verification"]["instructions"] = 1234567
    assert "1,234,567 instructions an inference" in report(receipt, plan).decode()


def test_what_is_beyond_the_tolerance_is_marked(built: Path) -> None:
    receipt = json.loads((built / "receipt.json").read_text())
    plan = json.loads((built / "plan.json").read_text())
    receipt["layers"][3]["pass"] = False
    receipt["verification"]["outputs"]["logits"]["pass"] = False
    page = Page(report(receipt, plan).decode())
    assert [i for i, bad in enumerate(page.marked["Layers"][1:]) if bad] == [3]
    assert page.marked["Outputs"] == [False, True]
    assert page.tables["Outputs"][1][1] == "beyond"


def test_the_memory_map_is_drawn_to_scale(built: Path) -> None:
    plan = json.loads((built / "plan.json").read_text())
    rectangles = Page((built / "report.html").read_text()).rectangles
    steps, total = len(plan["calls"]), plan["scratch_bytes"]
    for drawn, b in zip(rectangles, plan["buffers"], strict=True):
        x, y, width, height = (float(drawn[key]) for key in ("x", "y", "width", "height"))
        assert x / 1000 * steps == pytest.approx(b["first"], abs=0.01)
        assert (x + width) / 1000 * steps == pytest.approx(b["last"] + 1, abs=0.01)
        assert (320 - y - height) / 320 * total == pytest.approx(b["offset"], abs=total / 10_000)
        assert height / 320 * total == pytest.approx(b["bytes"], abs=total / 10_000)


def test_names_do_not_become_markup(tmp_path: Path) -> None:
    evil = "</title><script>alert('x')</script>\"&amp;"
    nodes = [helper.make_node("Conv", ["x", "w"], [f"{evil}t"], name=f"{evil}n"),
             helper.make_node("Tanh", [f"{evil}t"], [f"{evil}u"], name=f"{evil}m"),
             helper.make_node("GlobalAveragePool", [f"{evil}u"], [f"{evil}y"], name=f"{evil}o")]  # fmt: skip
    graph = helper.make_graph(
        nodes, "g", [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 9, 9])],
        [helper.make_tensor_value_info(f"{evil}y", TensorProto.FLOAT, [1, 4, 1, 1])],
        [numpy_helper.from_array(np.ones((4, 3, 3, 3), np.float32), "w")],
    )  # fmt: skip
    path = tmp_path / "a<b>&.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)
    edgec.compile(path, "host", tmp_path / "out", layers=True)
    text = (tmp_path / "out" / "report.html").read_text()
    page = Page(text)
    assert page.seen <= {
        "html", "head", "meta", "title", "style", "body", "h1", "h2", "p", "table", "tr", "th", "td", "span", "details",
        "summary", "br", "svg", "rect",
    }  # fmt: skip
    assert [row[0] for row in page.tables["Outputs"][1:]] == [f"{evil}y"]
    assert any(row[4].startswith(f"{evil}u") for row in page.tables["Layers"][1:])
    assert "://" not in text


def test_without_verification(tmp_path: Path) -> None:
    edgec.compile(MODEL, "arm:apple-m1", tmp_path / "out", shapes=SHAPES, os="macos", verify="none")
    text = (tmp_path / "out" / "report.html").read_text()
    page = Page(text)
    assert "Not verified" in text
    assert dict(page.tables["Sizes"][1:])["stack"] == "unknown"
    assert "Layers" not in page.tables


@pytest.mark.parametrize("target", ["host", "coreml"])
def test_what_is_lost_in_fewer_bits(target: str, tmp_path: Path) -> None:
    """How far the answers are from the model's, what has fewer bits, and what warns of that."""
    edgec.compile(MODEL, target, tmp_path / "out", shapes=SHAPES, precision="int8", verify_inputs=1)
    receipt = json.loads((tmp_path / "out" / "receipt.json").read_text())
    page = Page((tmp_path / "out" / "report.html").read_text())
    head, (name, _, _, level) = page.tables["Outputs"]
    against = receipt["verification"]["against_model"]
    assert head[3] == f"against {against['reference']}"
    assert level.startswith(f"signal to noise {against['signal_to_noise_db'][name]} dB")
    lines = [row[0] for row in page.tables["Numbers of fewer bits"][1:]]
    assert any(f"{receipt['quantization']['macs_share']:.1%} of the multiply-adds" in line for line in lines)
    warned = [line for line, bad in zip(lines, page.marked["Numbers of fewer bits"][1:], strict=True) if bad]
    assert warned == [f"WARNING: {receipt['quantization']['calibration']['warning']}"]
