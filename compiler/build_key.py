"""Is it built already? The key of a build is a hash of everything that its artifact depends on."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

import edgec.passes
import edgec.runtime
import edgec.targets
from edgec.artifact import RECEIPT
from edgec.calibration import calibration_digest
from edgec.ir.errors import ModelError, UsageError
from edgec.onnx_import.reader import external_files
from edgec.options import BuildOptions
from edgec.runtime.errors import RunError
from edgec.runtime.manifest import check_files, read_manifest
from edgec.targets.c.devices import Device
from edgec.targets.coreml.deployment import Deployment


def build_key(model: Path, target: str, device: Device | Deployment, options: BuildOptions) -> str:
    """Of the model, external data beside it, options, versions, and edgec's own files."""
    digest = hashlib.sha256()
    try:
        digest.update(model.read_bytes())
        for path in external_files(model):
            with path.open("rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
    except OSError as error:
        raise ModelError(f"{error.filename} cannot be read: {error.strerror}") from None
    for option, given in (("--data", options.data), ("--labels", options.labels)):
        try:
            digest.update(given.read_bytes() if given is not None else b"")
        except OSError as error:
            raise UsageError(f"{option} {given} cannot be read: {error.strerror}") from None
    digest.update(calibration_digest(options.calib))
    facts = asdict(options) | {"consts": {k: (v.dtype.str, v.tolist()) for k, v in options.consts.items()}}
    del facts["rebuild"]
    maker = "coremltools" if isinstance(device, Deployment) else "ziglang"
    versions = [version(p) for p in ("edgec", maker, "onnx", "numpy", "onnxruntime")]
    digest.update(repr((target, device, sorted(facts.items(), key=lambda i: i[0]), versions, _sources())).encode())
    return digest.hexdigest()


def _sources() -> str:
    """Hash of edgec's own files: an editable install changes without a new version."""
    digest = hashlib.sha256()
    floors = (edgec.passes, edgec.runtime, edgec.targets)
    for folder in (Path(__file__).parent, *(Path(str(floor.__file__)).parent for floor in floors)):
        for path in sorted(folder.rglob("*")):
            if path.suffix in (".py", ".h", ".c", ".toml"):
                digest.update(path.read_bytes())
    return digest.hexdigest()


def unchanged(output: Path, key: str) -> dict[str, Any] | None:
    """The receipt of an artifact that was built from the very same things and is still whole."""
    try:
        manifest = read_manifest(output)
        if manifest.raw.get("key") != key:
            return None
        check_files(manifest)
        found: dict[str, Any] = json.loads((output / RECEIPT).read_bytes())
        return found
    except (RunError, OSError, ValueError):
        return None
