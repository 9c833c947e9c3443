"""What the reference runs: a model, or a copy that gives more of its tensors away and computes in floats."""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path

from onnx import ModelProto, ValueInfoProto

from edgec.onnx_import.reader import read_model

ROUNDS = "accuracy_level"
ONE_ZERO = {"ConvInteger": (2, 3), "MatMulInteger": (2,)}  # zero points of which onnxruntime takes one alone


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


def without_kernel(path: Path) -> str:
    """What is legal ONNX and onnxruntime fails on when it runs; "" for nothing."""
    content = path.read_bytes()
    if not any(kind.encode() in content for kind in ONE_ZERO):
        return ""
    model = read_model(path)
    lengths = {t.name: math.prod(t.dims) for t in model.graph.initializer}
    lengths |= {node.output[0]: math.prod(a.t.dims) for node in model.graph.node for a in node.attribute
                if node.op_type == "Constant" and a.name == "value"}  # fmt: skip
    lengths |= {i.name: math.prod(d.dim_value for d in i.type.tensor_type.shape.dim) for i in model.graph.input}
    for node in model.graph.node:
        for i in ONE_ZERO.get(node.op_type, ()):
            name = node.input[i] if i < len(node.input) else ""
            if lengths.get(name, 1) > 1:
                return f"{node.op_type} {node.name or node.output[0]!r} with {lengths[name]} zero points {name!r}"
    return ""
