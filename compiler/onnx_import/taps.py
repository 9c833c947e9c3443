"""A copy of a model that gives more of its tensors away: what the reference runs to compare layer by layer."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from onnx import ValueInfoProto

from edgec.onnx_import.reader import read_model


def with_outputs(path: Path, tensors: Iterable[str]) -> bytes:
    """The model at `path` with these tensors as outputs, besides its own. External data is where it was."""
    model = read_model(path)
    own = {output.name for output in model.graph.output}
    model.graph.output.extend(ValueInfoProto(name=name) for name in tensors if name not in own)
    return bytes(model.SerializeToString())
