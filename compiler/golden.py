"""One run that an artifact of narrower arithmetic must reproduce, wherever it runs: real inputs and what they mean.

The float model cannot say whether such an artifact is right, only how far away it is. So the build leaves the first
sample and its outputs, by the interpreter on the same narrow graph, in the artifact: `golden.npz`, with arrays
`input:NAME` and `output:NAME`, and `least_db`, the signal to noise that is asked for where floats round differently.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from edgec.labelled import read_data
from edgec.narrowed import judged
from edgec.runtime.buffers import for_file, read_back
from edgec.runtime.session import Session

Array = np.ndarray[Any, Any]
FILE = "golden.npz"


def golden_file(feeds: Mapping[str, Array], outputs: Mapping[str, Array], least_db: float) -> bytes:
    buffer = io.BytesIO()
    arrays = {f"input:{name}": x for name, x in feeds.items()} | {f"output:{name}": y for name, y in outputs.items()}
    np.savez(buffer, **{k: for_file(v) for k, v in arrays.items()}, least_db=np.float64(least_db))  # type: ignore[arg-type]
    return buffer.getvalue()


def check_golden(session: Session, path: Path) -> dict[str, dict[str, Any]]:
    """Of each output, how it compares and whether that will do. Bit by bit for integers."""
    arrays = read_data(path)
    feeds = _feeds(arrays)
    session.reset()
    found = dict(zip([t.name for t in session.outputs], session.run(None, feeds), strict=True))
    least = float(arrays["least_db"])
    return {name: judged(y, read_back(arrays[f"output:{name}"], y.dtype), least) for name, y in found.items()}


def golden_feeds(path: Path) -> dict[str, Array]:
    """The inputs alone."""
    return _feeds(read_data(path))


def _feeds(arrays: Mapping[str, Array]) -> dict[str, Array]:
    return {name.removeprefix("input:"): x for name, x in arrays.items() if name.startswith("input:")}
