"""Names of artifacts: whatever a file is called, its functions and files are no one else's."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from onnx import helper
from quantised import made, written

import edgec
from edgec.targets.c.emit_interface import c_name


@pytest.mark.parametrize(("text", "name"), [
    ("resnet8", "resnet8"), ("3d", "m_3d"), ("a-b.c", "a_b_c"), ("", "model"), ("edgec", "m_edgec"),
    ("Edgec", "m_Edgec"),
    ("edgec_pthread", "m_edgec_pthread"), ("edgec_mem", "m_edgec_mem"), ("edgec_pool", "m_edgec_pool"),
    ("example_main", "m_example_main"), ("math", "m_math"), ("stdint", "m_stdint"), ("all", "m_all"),
    ("maths", "maths"),
    ("edgecase", "edgecase"),
])  # fmt: skip
def test_names_that_are_taken_are_made_others(text: str, name: str) -> None:
    assert c_name(text) == name


@pytest.mark.parametrize("name", ["edgec", "edgec_pthread", "edgec_mem", "example_main", "stdint", "string"])
def test_they_are_built_and_run(name: str, tmp_path: Path) -> None:
    model = written(made([helper.make_node("MatMul", ["x", "w"], ["y"])], {"w": np.eye(3, dtype=np.float32)},
                         {"x": (2, 3)}, {"y": 1}, opset=17), tmp_path)  # fmt: skip
    named = model.rename(tmp_path / f"{name}.onnx")
    receipt = edgec.compile(named, "host", tmp_path / "out")
    assert receipt["verification"]["pass"]
    assert (tmp_path / "out" / f"m_{name}.h").exists()
    assert edgec.compile(named, "host", tmp_path / "out", name=name)["name"] == f"m_{name}"
