"""Packages of small graphs: made, written, read back by coremltools, opened by the evaluator."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

from edgec.ir.graph import Module, Op
from edgec.runtime.coreml.evaluate import Evaluator
from edgec.runtime.coreml.package import read_package
from edgec.targets.apple.features import Presentation
from edgec.targets.coreml.deployment import choose
from edgec.targets.coreml.package import package_files
from edgec.targets.coreml.program import Emitted, emit
from edgec.targets.coreml.reload import check_reload


def packaged(
    module: Module, folder: Path, name: str = "", halves: bool = False, wide: Collection[Op] = (), **presented: Any
) -> tuple[Emitted, Path]:
    """What was emitted and where the package lies; coremltools has read it back."""
    emitted = emit(module, choose(name), halves, wide, Presentation(**presented))
    return emitted, written(emitted, folder)


def written(emitted: Emitted, folder: Path) -> Path:
    files = package_files(emitted)
    check_reload(files)
    package = folder / "model.mlpackage"
    for path, content in files.items():
        (package / path).parent.mkdir(parents=True, exist_ok=True)
        (package / path).write_bytes(content)
    return package


def opened(package: Path, function: str | None = None) -> Evaluator:
    return Evaluator(read_package(package), function)
