"""edgec: the on-device edge deployment compiler. `compile()` a model, `load()` an artifact."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

assert __name__ == "edgec", "import edgec, not the folder compiler: a second copy of every class would be made"

if TYPE_CHECKING:
    from edgec.runtime.session import Session

__all__ = ["compile", "load"]


def compile(model: str | Path, target: str, output: str | Path, **options: Any) -> dict[str, Any]:
    """Builds an artifact folder and returns its receipt; `options` are the fields of edgec.options.BuildOptions. Paths
    may be texts."""
    from edgec.driver import build
    from edgec.options import BuildOptions

    paths = {name: Path(path) for name in ("data", "labels") if isinstance(path := options.get(name), str)}
    spec = {"calib": str(path)} if isinstance(path := options.get("calib"), Path) else {}
    return build(Path(model), target, Path(output), BuildOptions(**{**options, **paths, **spec})).receipt


def load(directory: str | Path, **options: Any) -> Session:
    """Opens an artifact folder: `load(folder).run(None, {"x": array})`; `options` are those of runtime.session.load."""
    from edgec.runtime.session import load as open_session

    return open_session(directory, **options)
