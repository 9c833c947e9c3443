"""A network under construction: ONNX nodes with seeded weights, scaled so that activations keep their size."""

from __future__ import annotations

import math
import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from onnx import ModelProto, TensorProto, helper, numpy_helper

Array = np.ndarray[Any, Any]
OPSET = 17
IR_VERSION = 8  # as old as the opset allows, so that old readers take the files


class Net:
    """Values are names; every method appends nodes and returns the name of the result. `name` seeds the weights."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._rng = np.random.Generator(np.random.PCG64(zlib.crc32(name.encode())))
        self._nodes: list[Any] = []
        self._weights: list[Any] = []
        self._inputs: list[Any] = []
        self._outputs: list[Any] = []
        self._channels: dict[str, int] = {}

    # -- the graph --------------------------------------------------------------------------------------------------

    def input(self, name: str, shape: Sequence[int], dtype: int = TensorProto.FLOAT) -> str:
        self._inputs.append(helper.make_tensor_value_info(name, dtype, shape))
        return name

    def output(self, value: str, name: str, shape: Sequence[int]) -> None:
        self._nodes.append(helper.make_node("Identity", [value], [name], name=f"to_{name}"))
        self._outputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, shape))

    def const(self, array: Any) -> str:
        name = f"w{len(self._weights)}"
        self._weights.append(numpy_helper.from_array(np.asarray(array, order="C"), name))
        return name

    def number(self, value: float) -> str:
        return self.const(np.array(value, np.float32))

    def ints(self, *values: int) -> str:
        return self.const(np.array(values, np.int64))

    def op(self, kind: str, *operands: str, results: int = 1, **attributes: Any) -> Any:
        """The name of the result, or a list of names where there are several."""
        label = f"{kind}_{len(self._nodes)}"
        names = [f"{label}_{i}" for i in range(results)]
        self._nodes.append(helper.make_node(kind, list(operands), names, name=label, **attributes))
        return names[0] if results == 1 else names

    def model(self) -> ModelProto:
        graph = helper.make_graph(self._nodes, self.name, self._inputs, self._outputs, self._weights)
        return helper.make_model(
            graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION, producer_name="edgec"
        )

    # -- weights ----------------------------------------------------------------------------------------------------

    def normal(self, *shape: int, fan: int = 0, gain: float = 1.0) -> Array:
        """Normal weights whose products over `fan` operands keep the variance, times gain squared."""
        return (self._rng.standard_normal(shape) * gain / math.sqrt(max(1, fan))).astype(np.float32)

    def uniform(self, low: float, high: float, *shape: int) -> Array:
        return self._rng.uniform(low, high, shape).astype(np.float32)

    # -- layers -----------------------------------------------------------------------------------------------------

    def conv(self, x: str, inputs: int, outputs: int, kernel: Sequence[int] = (3, 3), stride: int = 1, groups: int = 1,
             gain: float = 1.4, bias: bool = False, dilation: int = 1, same: bool = True) -> str:  # fmt: skip
        """Padded to keep the image's size (over the stride) when `same`."""
        fan = inputs // groups * math.prod(kernel)
        operands = [x, self.const(self.normal(outputs, inputs // groups, *kernel, fan=fan, gain=gain))]
        if bias:
            operands.append(self.const(self.normal(outputs, gain=0.1)))
        half = [dilation * (k - 1) // 2 if same else 0 for k in kernel]
        return str(self.op(
            "Conv", *operands, kernel_shape=list(kernel), strides=[stride] * len(kernel), group=groups,
            dilations=[dilation] * len(kernel), pads=[*half, *half],
        ))  # fmt: skip

    def batch_norm(self, x: str, channels: int, gamma: tuple[float, float] = (0.8, 1.2)) -> str:
        """Random statistics: nothing folds to one or to zero."""
        parts = (
            self.uniform(*gamma, channels), self.normal(channels, gain=0.1), self.normal(channels, gain=0.1),
            self.uniform(0.7, 1.4, channels),
        )  # fmt: skip
        return str(self.op("BatchNormalization", x, *map(self.const, parts), epsilon=1e-5))

    def linear(self, x: str, inputs: int, outputs: int, gain: float = 1.0, bias: bool = True) -> str:
        """MatMul and Add, as exporters write a linear layer over more than two axes."""
        y = self.op("MatMul", x, self.const(self.normal(inputs, outputs, fan=inputs, gain=gain)))
        return str(self.op("Add", y, self.const(self.normal(outputs, gain=0.1)))) if bias else str(y)

    def gemm(self, x: str, inputs: int, outputs: int, gain: float = 1.0) -> str:
        weights = self.const(self.normal(outputs, inputs, fan=inputs, gain=gain))
        return str(self.op("Gemm", x, weights, self.const(self.normal(outputs, gain=0.1)), transB=1))

    def relu6(self, x: str) -> str:
        return str(self.op("Clip", x, self.number(0.0), self.number(6.0)))

    def pooled_head(self, x: str, channels: int, classes: int) -> str:
        return self.gemm(self.op("Flatten", self.op("GlobalAveragePool", x)), channels, classes)

    def gelu(self, x: str) -> str:
        """By Erf, in long-hand, as exporters before opset 20 write it."""
        half = self.op("Mul", x, self.number(0.5))
        inner = self.op("Erf", self.op("Div", x, self.number(math.sqrt(2.0))))
        return str(self.op("Mul", half, self.op("Add", inner, self.number(1.0))))

    def layer_norm(self, x: str, channels: int) -> str:
        """In long-hand over the last axis."""
        centred = self.op("Sub", x, self.op("ReduceMean", x, axes=[-1]))
        variance = self.op("ReduceMean", self.op("Pow", centred, self.number(2.0)), axes=[-1])
        deviation = self.op("Sqrt", self.op("Add", variance, self.number(1e-6)))
        scaled = self.op("Mul", self.op("Div", centred, deviation), self.const(self.uniform(0.8, 1.2, channels)))
        return str(self.op("Add", scaled, self.const(self.normal(channels, gain=0.1))))

    def rms_norm(self, x: str, channels: int) -> str:
        square = self.op("ReduceMean", self.op("Pow", x, self.number(2.0)), axes=[-1])
        root = self.op("Sqrt", self.op("Add", square, self.number(1e-5)))
        return str(self.op("Mul", self.op("Div", x, root), self.const(self.uniform(0.8, 1.2, channels))))
