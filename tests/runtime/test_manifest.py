"""manifest.json of an artifact that somebody else wrote: one sentence for what cannot be used."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from edgec.runtime.errors import RunError
from edgec.runtime.manifest import read_manifest

WHOLE = {
    "format": 1, "name": "m", "target": "host", "inputs": [], "outputs": [], "scratch_bytes": 0, "state_bytes": 0,
    "files": {},
}  # fmt: skip


def test_a_whole_one(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text(json.dumps(WHOLE))
    assert read_manifest(tmp_path).name == "m"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[" * 100_000, "is not JSON"),
        ("[]", "is not the manifest of an edgec artifact"),
        (json.dumps({**WHOLE, "files": ["m.so"]}), "is damaged"),
        (json.dumps({**WHOLE, "scratch_bytes": float("inf")}), "is damaged"),
        (json.dumps({**WHOLE, "outputs": [{"name": "y", "dtype": "f7", "shape": []}]}), "unknown dtype f7"),
    ],
)
def test_what_cannot_be_used(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "manifest.json").write_text(text)
    with pytest.raises(RunError, match=said) as caught:
        read_manifest(tmp_path)
    assert "\n" not in str(caught.value)
