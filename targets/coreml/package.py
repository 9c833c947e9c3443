"""A package's files (.mlpackage): the manifest, the model and the weights. Same model, same bytes."""

from __future__ import annotations

import json
import uuid
from typing import Any

from edgec.targets.coreml.program import Emitted

AUTHOR = "com.apple.CoreML"
MODEL = f"Data/{AUTHOR}/model.mlmodel"
WEIGHTS = f"Data/{AUTHOR}/weights"
SPACE = uuid.UUID("5d1d7c52-6f0e-5c7a-9b57-3c1f4bb2e5a1")  # of the identifiers below


def package_files(emitted: Emitted) -> dict[str, bytes]:
    """Bytes by path inside of the package. A package without large constants has no weights."""
    model = emitted.model.SerializeToString(deterministic=True)
    files = {MODEL: model}
    entries = [("model.mlmodel", "CoreML Model Specification", f"{AUTHOR}/model.mlmodel")]
    if emitted.weights:
        files[f"{WEIGHTS}/weight.bin"] = emitted.weights
        entries.append(("weights", "CoreML Model Weights", f"{AUTHOR}/weights"))
    files["Manifest.json"] = _manifest(entries)
    return files


def _manifest(entries: list[tuple[str, str, str]]) -> bytes:
    """Items by identifiers; those of others are random, ours follow from the paths."""
    ids = {path: str(uuid.uuid5(SPACE, path)).upper() for _, _, path in entries}
    items: dict[str, Any] = {
        ids[path]: {"author": AUTHOR, "description": description, "name": name, "path": path}
        for name, description, path in entries
    }
    root = ids[f"{AUTHOR}/model.mlmodel"]
    manifest = {"fileFormatVersion": "1.0.0", "itemInfoEntries": items, "rootModelIdentifier": root}
    return (json.dumps(manifest, indent=2, sort_keys=True) + "\n").encode()
