"""A run that an artifact must reproduce: what is held against it, and by how much."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from edgec.golden import check_golden, golden_file


class Session:
    outputs = (SimpleNamespace(name="y"),)

    def __init__(self, off: float) -> None:
        self.off = off

    def reset(self) -> None:
        pass

    def run(self, names: Any, feeds: Any) -> list[np.ndarray]:
        return [feeds["x"] * 2 + np.float32(self.off)]


@pytest.mark.parametrize(("off", "least", "passes"), [(0, np.inf, True), (0.05, np.inf, False), (0.05, 20.0, True),
                                                      (0.5, 20.0, False)])  # fmt: skip
def test_what_passes(off: float, least: float, passes: bool, tmp_path: Path) -> None:
    x = np.linspace(-1, 1, 12, dtype=np.float32)
    content = golden_file({"x": x}, {"y": x * 2}, least)
    assert content == golden_file({"x": x}, {"y": x * 2}, least)
    (tmp_path / "golden.npz").write_bytes(content)
    found = check_golden(Session(off), tmp_path / "golden.npz")  # type: ignore[arg-type]
    assert found["y"]["pass"] == passes
