"""Whole architectures as Core ML packages, evaluated, against onnxruntime, in float32 and in halves."""

from __future__ import annotations

from pathlib import Path

import pytest
from architectures.table import ARCHITECTURES
from coreml import BAR, measured
from model_set import Model

from edgec.targets.coreml.deployment import choose


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_architecture(name: str, tmp_path: Path) -> None:
    path = tmp_path / f"{name}.onnx"
    path.write_bytes(ARCHITECTURES[name].bytes())
    row = measured(Model(name, path, {}, {}, ARCHITECTURES[name].ranges), choose("ios18"))
    assert row.wide <= BAR / 50
    assert row.halves <= row.bound < 0.01
