"""The compiler is called so that nothing stays behind but what was asked for."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest

from edgec.targets.c.toolchain import ARM_TRIPLES, compile_c


def test_nothing_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """zig would keep each object it ever made; only its own libraries are worth keeping, and this needs none."""
    kept, scratch, work = (tmp_path / name for name in ("kept", "scratch", "work"))
    for folder in (kept, scratch, work):
        folder.mkdir()
    monkeypatch.setenv("ZIG_GLOBAL_CACHE_DIR", str(kept))
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))
    (work / "f.c").write_text("int f(int x) { return 3 * x; }\n")
    compile_c(work, "f.c", "f.o", ARM_TRIPLES["none"], [])
    assert {path.name for path in work.iterdir()} == {"f.c", "f.o"}
    assert not list(scratch.iterdir())
    assert not list(kept.rglob("*.o"))
