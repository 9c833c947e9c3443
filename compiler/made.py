"""What a build is asked for and what it made, whatever the target."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgec.image import Image
from edgec.onnx_import.options import ImportOptions
from edgec.options import BuildOptions


@dataclass(frozen=True)
class Request:
    """`key` says of everything that the artifact depends on whether it changed (edgec.build_key)."""

    model: Path
    target: str
    family: str
    options: BuildOptions
    imported: ImportOptions
    images: Mapping[str, Image]
    labels: tuple[str, ...]
    key: str
    progress: Callable[[str], None]


@dataclass(frozen=True)
class Made:
    """`files` lack the receipt and its page, `page` are facts of the plan for that page (empty: there is none)."""

    files: dict[str, bytes]
    manifest: dict[str, Any]
    receipt: dict[str, Any]
    page: Mapping[str, Any]
