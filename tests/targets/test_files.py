"""Folders for a while, whatever comes between."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import pytest

from edgec.targets.files import temporary_folder


def test_a_folder_for_a_while(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with temporary_folder("edgec-") as first, temporary_folder("edgec-") as second:
        (first / "file").write_bytes(b"content")
        assert {first, second} == set(tmp_path.glob("edgec-*"))
        assert first.stat().st_mode & 0o777 == 0o700
    assert not list(tmp_path.iterdir())


def test_a_signal_behind_the_making(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make = Path.mkdir

    def stopped(folder: Path, *args: Any, **options: Any) -> None:
        make(folder, *args, **options)
        raise KeyboardInterrupt

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(Path, "mkdir", stopped)
    with pytest.raises(KeyboardInterrupt), temporary_folder("edgec-"):
        pytest.fail("the folder was not made")
    assert not list(tmp_path.iterdir())
