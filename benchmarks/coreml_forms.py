"""The forms that compressed weights have in Core ML packages: which passes make them, and the bits that they must take.

`graph_of` makes a model of one product by random weights, `saved_weights` reads those back from a saved package by the
evaluator, which shares no code with the emitter.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edgec.ir.build import Builder
from edgec.ir.graph import Graph, Module, Value
from edgec.ir.types import Float8, Palette, Quant, Sparse, Type
from edgec.pipeline import run_pipeline
from edgec.runtime.coreml.evaluate import Evaluator, arguments_of
from edgec.runtime.coreml.package import read_package
from edgec.targets.coreml.deployment import Deployment

Array = np.ndarray[Any, Any]
KINDS = ("conv", "matmul", "gather")
# MIL's operators, and the operand that has the weights
WEIGHT = {"conv": "weight", "conv_transpose": "weight", "matmul": "y", "linear": "weight", "gather": "x"}


@dataclass(frozen=True)
class Form:
    """`least`: the first iOS that has it; `behind`: where a product's scales stand behind it from iOS 16 on."""

    name: str
    passes: tuple[str, ...]
    least: int
    behind: bool = False


FORMS = (
    *(Form(f"palette, {b} bits", (f"palettize{{bits={b}}}",), 18 if b == 3 else 16) for b in (1, 2, 3, 4, 6, 8)),
    Form("palette, 4 bits, a table for 16", ("palettize{bits=4,group=16}",), 18),
    Form("palette, 8 bits for 4 weights", ("palettize{bits=8,vectors=4}",), 18),
    Form("palette, 4 bits, bytes, channel scale", ("palettize{bits=4,entries=i8}",), 26, behind=True),
    Form("sparse, 75 %", ("sparsify{share=0.75}",), 16),
    Form("sparse, 75 %, palette of 4 bits", ("sparsify{share=0.75}", "palettize{bits=4}"), 18),
    Form("sparse, 75 %, int8", ("sparsify{share=0.75}", "quantize_weights"), 18),
    Form("int8, a scale a channel", ("quantize_weights",), 16),
    Form("int4, a scale for 32", ("quantize_weights{format=i4}",), 18),
    Form("fp8 e4m3, one scale", ("float8_weights{per=tensor}",), 16),
    Form("fp8 e5m2, one scale", ("float8_weights{per=tensor,format=e5m2}",), 16),
    Form("fp8 e4m3, a scale a channel", ("float8_weights",), 26, behind=True),
    Form("mxfp4", ("mxfp4_weights",), 26),
)


def graph_of(kind: str, size: int, passes: Sequence[str] = (), seed: int = 0) -> tuple[Graph, Value]:
    """A model of one product by [size, size] weights, after passes, and the weights."""
    weights = (np.random.default_rng(seed).standard_normal((size, size)) * 0.05).astype(np.float32)
    graph = Graph(Module())
    b = Builder(graph)
    if kind == "conv":
        x = graph.add_input("x", Type("f32", (1, size, 2, 2)))
        plain = {"strides": (1, 1), "pads": (0, 0, 0, 0), "dilations": (1, 1), "layout": "nchw"}
        y = b.op("conv", x, b.const(weights[:, :, None, None]), **plain)
    elif kind == "matmul":
        y = b.op("matmul", graph.add_input("x", Type("f32", (1, 4, size))), b.const(weights), b.const(weights[0]))
    else:
        y = b.op("gather", b.const(weights), graph.add_input("x", Type("i64", (1, 4))), axis=0)
    graph.outputs.append(("y", y))
    run_pipeline(graph.module, passes)
    return graph, graph.ops[0].arg(0 if kind == "gather" else 1)


def write_package(files: dict[str, bytes], folder: Path) -> Path:
    for path, content in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)
    return folder


def saved_weights(folder: Path, feeds: dict[str, Array]) -> tuple[Array, Array | None, dict[str, Any]]:
    """The operand of the product as the package's bytes say it is, the numbers that the product is multiplied with
    (None where it is not), and the model's outputs."""
    seen: dict[str, Array] = {}
    evaluator = Evaluator(read_package(folder), observe=lambda operation, name, array: seen.update({name: array}))
    outputs = evaluator.run(feeds)
    known = seen | {name: np.asarray(o.item) for name, o in evaluator.constants.items()}
    operations = evaluator.function.block.operations
    (product,) = (o for o in operations if o.type in WEIGHT)
    (weights,) = arguments_of(product)[WEIGHT[product.type]]
    made = {product.outputs[0].name}
    made |= {o.outputs[0].name for o in operations if o.type == "cast" and arguments_of(o)["x"][0] in made}
    behind = [o for o in operations if o.type == "mul" and arguments_of(o)["x"][0] in made]
    scale = known[str(arguments_of(behind[0])["y"][0])] if behind else None
    return known[str(weights)], scale, outputs


def ideal_bits(graph: Graph, value: Value, halves: bool, deployment: Deployment) -> int:
    """Bits of a constant's indices, tables, masks, scales and numbers, and nothing else."""
    real, constants = 16 if halves else 32, graph.module.constants
    count, bits = value.type.stored.size, real
    total = 0
    for encoding in value.type.encodings:
        match encoding:
            case Sparse():
                total += value.type.size
                count = int(np.count_nonzero(constants[encoding.mask]))
            case Palette():
                bits = encoding.bits
                table = constants[encoding.table]
                total += table.size * (8 if table.dtype == np.int8 and deployment.number >= 26 else real)
            case Quant():
                bits = 4 if encoding.format == "i4" else 8
                total += constants[encoding.scale].size * real
            case Float8():
                bits = 8
                total += 256 * real + (constants[encoding.scale].size * real if encoding.axis is not None else 0)
            case _:
                total += constants[encoding.constants[0]].size * real
    return total + count * bits
