"""Makes this folder and benchmarks importable from every test file: `compiled`, `sanitize.guarded`, `model_set` …"""

import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

HERE = Path(__file__).parent
PICTURES = HERE.parent / "examples/fashion_mnist_200.npz"
sys.path[:0] = [str(HERE), str(HERE / "targets"), str(HERE.parent / "benchmarks")]


@pytest.fixture(scope="session", autouse=True)
def compilers_cache() -> Iterator[None]:
    """Tests that call zig themselves leave nothing in its own cache, which nobody empties: a gigabyte a run."""
    with tempfile.TemporaryDirectory(prefix="edgec-zig-", ignore_cleanup_errors=True) as folder:
        os.environ["ZIG_LOCAL_CACHE_DIR"] = folder
        yield


@pytest.fixture
def labelled(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Labelled pictures of the example: all 200 where this machine computes them, every fifth where an emulator does,
    which takes a fifth of a second for one."""
    if request.getfixturevalue("target").startswith("host"):
        return PICTURES
    path = tmp_path / "labelled.npz"
    with np.load(PICTURES) as arrays:
        np.savez(path, **{name: array[::5] for name, array in arrays.items()})
    return path


@pytest.fixture
def scalar_host(monkeypatch: pytest.MonkeyPatch) -> None:
    """`host:scalar` is a target, too: kernels without vectors."""
    from compiled import SCALAR_DEVICE

    from edgec.targets.host import target

    with_scalar = {**target.devices(), "scalar": SCALAR_DEVICE}
    monkeypatch.setattr(target, "devices", lambda: with_scalar)
