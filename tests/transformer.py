"""A small vision transformer as exporters write it: patches, norms, attention in long hand, GELU, a softmax head."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from onnx import NodeProto, TensorProto, helper, numpy_helper

SIDE, PATCH, WIDTH, HEADS, CLASSES = 32, 8, 48, 3, 10
TOKENS = (SIDE // PATCH) ** 2


class _Writer:
    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.nodes: list[NodeProto] = []
        self.constants: list[TensorProto] = []

    def const(self, array: Any) -> str:
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(array), name))
        return name

    def random(self, *shape: int, fan: float = 1.0, mean: float = 0.0) -> str:
        return self.const((mean + self.rng.standard_normal(shape) / np.sqrt(fan)).astype(np.float32))

    def op(self, kind: str, *inputs: str, **attrs: Any) -> str:
        name = f"{kind.lower()}{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [name], **attrs))
        return name

    def linear(self, x: str, k: int, n: int) -> str:
        return self.op("Add", self.op("MatMul", x, self.random(k, n, fan=k)), self.random(n, fan=100))

    def norm(self, x: str) -> str:
        return self.op(
            "LayerNormalization", x, self.random(WIDTH, fan=25, mean=1.0), self.random(WIDTH, fan=25), axis=-1
        )

    def heads(self, x: str, i: int) -> str:
        at = [self.const(np.array([v], np.int64)) for v in (i * WIDTH, (i + 1) * WIDTH, 2)]
        part = self.op("Reshape", self.op("Slice", x, *at), self.const(np.array([1, TOKENS, HEADS, WIDTH // HEADS])))
        return self.op("Transpose", part, perm=[0, 2, 1, 3])

    def attention(self, x: str) -> str:
        q, k, v = (self.heads(self.linear(x, WIDTH, 3 * WIDTH), i) for i in range(3))
        scores = self.op("MatMul", q, self.op("Transpose", k, perm=[0, 1, 3, 2]))
        scores = self.op("Mul", scores, self.const(np.float32((WIDTH // HEADS) ** -0.5)))
        seen = self.op("MatMul", self.op("Softmax", scores, axis=-1), v)
        joined = self.op("Transpose", seen, perm=[0, 2, 1, 3])
        return self.linear(self.op("Reshape", joined, self.const(np.array([1, TOKENS, WIDTH]))), WIDTH, WIDTH)

    def gelu(self, x: str) -> str:
        error = self.op("Erf", self.op("Div", x, self.const(np.float32(np.sqrt(2)))))
        half = self.op("Mul", self.op("Add", error, self.const(np.float32(1))), self.const(np.float32(0.5)))
        return self.op("Mul", x, half)


def write_transformer(path: Path, blocks: int = 2, seed: int = 3) -> Path:
    w = _Writer(seed)
    patches = w.op("Conv", "image", w.random(WIDTH, 3, PATCH, PATCH, fan=3 * PATCH**2), w.random(WIDTH, fan=100),
                   strides=[PATCH, PATCH])  # fmt: skip
    flat = w.op("Reshape", patches, w.const(np.array([1, WIDTH, TOKENS])))
    x = w.op("Add", w.op("Transpose", flat, perm=[0, 2, 1]), w.random(1, TOKENS, WIDTH, fan=4))
    for _ in range(blocks):
        x = w.op("Add", x, w.attention(w.norm(x)))
        x = w.op("Add", x, w.linear(w.gelu(w.linear(w.norm(x), WIDTH, 4 * WIDTH)), 4 * WIDTH, WIDTH))
    mean = w.op("ReduceMean", w.norm(x), w.const(np.array([1])), keepdims=0)
    w.nodes.append(helper.make_node("Softmax", [w.linear(mean, WIDTH, CLASSES)], ["shares"], axis=-1))
    graph = helper.make_graph(
        w.nodes, "transformer", [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, SIDE, SIDE])],
        [helper.make_tensor_value_info("shares", TensorProto.FLOAT, [1, CLASSES])], w.constants,
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    path.write_bytes(model.SerializeToString())
    return path
