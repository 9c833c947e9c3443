"""What the reference runs: a model, or a copy that gives more of its tensors away and computes in floats."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from onnx import ModelProto, ValueInfoProto

from edgec.onnx_import.reader import read_model

ROUNDS = "accuracy_level"


def with_outputs(path: Path, tensors: Iterable[str]) -> bytes:
    """The model at `path` with these tensors as outputs, besides its own, and in floats. External data is where it
    was."""
    model = read_model(path)
    own = {output.name for output in model.graph.output}
    model.graph.output.extend(ValueInfoProto(name=name) for name in tensors if name not in own)
    _in_floats(model)
    return bytes(model.SerializeToString())


def may_round(path: Path) -> bool:
    """Whether the model may let onnxruntime round what MatMulNBits multiplies to bytes (its `accuracy_level` of 4)."""
    return ROUNDS.encode() in path.read_bytes()


def _in_floats(model: ModelProto) -> None:
    for node in model.graph.node:
        if node.op_type == "MatMulNBits":
            kept = [a for a in node.attribute if a.name != ROUNDS]
            del node.attribute[:]
            node.attribute.extend(kept)
