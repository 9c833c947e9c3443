"""Hostile files through the command that a user types: the exit code, one sentence, nothing half-written.

python -m pytest tests/hostile/test_files.py              # every file; legal ones that take long are imported only
python -m pytest tests/hostile/test_files.py -m heavy     # those are built
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hostile.files import FILES
from hostile.limited import Limited
from hostile.table import Hostile

import edgec

EXAMPLE = Path(__file__).parents[2] / "examples" / "resnet8_fashion_mnist.onnx"
BEFORE_EMISSION = 10  # seconds of CPU

# these go through a process of their own, so that the worker hides nothing
AS_PROCESS = (
    "truncated_in_the_weights", "garbage", "cycle_of_two", "ifs_nested_too_deep", "loop_of_2_to_62_trips",
    "recursive_function", "input_of_2_to_40", "weights_whose_size_overflows", "constant_of_16_gigabytes",
    "shape_of_nan", "resize_by_nan", "convolution_of_stride_zero", "above_the_folder", "link",
    "unknown_operators", "name_that_is_not_utf8", "names_like_code",
)  # fmt: skip


@pytest.fixture(scope="module")
def limited() -> Iterator[Limited]:
    with Limited() as worker:
        yield worker


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An older artifact that a failed build must leave alone."""
    folder = tmp_path_factory.mktemp("good") / "out"
    edgec.compile(EXAMPLE, "host", folder, shapes={"input": (1, 1, 28, 28)}, verify="none")
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def prepared(hostile: Hostile, good: Path, folder: Path) -> tuple[list[str], Path]:
    """The words of the command and the folder for temporary files; the older artifact is in `work/out`."""
    work, temporary = folder / "work", folder / "temporary"
    work.mkdir()
    temporary.mkdir()
    path = hostile.write(work)
    shutil.copytree(good, work / "out")
    return ["build", path.name, "-t", "host", "-o", "out", "--inputs", "1", *hostile.options], temporary


def check(hostile: Hostile, code: int, said: str, folder: Path, before: dict[str, bytes]) -> None:
    work = folder / "work"
    after = contents(work)
    names = {name.split("/")[0] for name in before}
    assert {name.split("/")[0] for name in after} == names, "something was left beside the artifact"
    # onnxruntime writes a file of its own when it is imported
    assert {p.name for p in (folder / "temporary").iterdir()} <= {".ses"}, "something was left among temporary files"
    assert code == hostile.code, said
    if code == 0:
        assert after["out/manifest.json"] != before["out/manifest.json"]
        return
    assert after == before, "the older artifact has changed"
    message = said.removesuffix("\n")
    assert message.startswith("edgec: "), message
    assert message.isprintable(), message
    assert "Traceback" not in message
    assert hostile.words in message, message


def test_names_are_unique() -> None:
    names = [hostile.name for hostile in FILES]
    assert len(names) == len(set(names)) >= 40


@pytest.mark.parametrize("hostile", [h for h in FILES if not h.heavy], ids=lambda h: h.name)
def test_file(hostile: Hostile, good: Path, limited: Limited, tmp_path: Path) -> None:
    words, temporary = prepared(hostile, good, tmp_path)
    before = contents(tmp_path / "work")
    verdict = limited.command(words, tmp_path / "work", temporary, BEFORE_EMISSION if hostile.code else 60)
    assert verdict["kind"] == "done", verdict["text"]
    check(hostile, verdict["exit"], verdict["text"], tmp_path, before)


@pytest.mark.parametrize("hostile", [h for h in FILES if h.heavy], ids=lambda h: h.name)
def test_import_of_heavy_file(hostile: Hostile, limited: Limited, tmp_path: Path) -> None:
    verdict = limited.ask("import", hostile.write(tmp_path), {})
    assert verdict["kind"] == "ok", verdict["text"]


@pytest.mark.heavy
@pytest.mark.parametrize("hostile", [h for h in FILES if h.heavy], ids=lambda h: h.name)
def test_heavy_file(hostile: Hostile, good: Path, limited: Limited, tmp_path: Path) -> None:
    words, temporary = prepared(hostile, good, tmp_path)
    before = contents(tmp_path / "work")
    verdict = limited.command(words, tmp_path / "work", temporary, 120)
    assert verdict["kind"] == "done", verdict["text"]
    check(hostile, verdict["exit"], verdict["text"], tmp_path, before)


@pytest.mark.parametrize("hostile", [h for h in FILES if h.name in AS_PROCESS], ids=lambda h: h.name)
def test_file_as_process(hostile: Hostile, good: Path, tmp_path: Path) -> None:
    words, temporary = prepared(hostile, good, tmp_path)
    before = contents(tmp_path / "work")
    done = subprocess.run(
        [sys.executable, "-m", "edgec", *words], cwd=tmp_path / "work", env={**os.environ, "TMPDIR": str(temporary)},
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    check(hostile, done.returncode, done.stderr, tmp_path, before)
