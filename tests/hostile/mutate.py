"""Broken variants of sound models, the same ones for the same seed: half changed in their bytes, half in their meaning.

    python tests/hostile/mutate.py [--count 2000] [--seed 0] [--builds 50] [--keep FOLDER]

puts them through import and `verify_module` in a worker with limits (see worker.py), builds some of the survivors for
the host, prints a summary, and ends with exit code 1 when one of them crashed, hung or was refused without a sentence.
`--keep` writes the crashing models there.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from onnx import AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto, helper

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))

from hostile.seeds import Seed, cases, made

LENGTHS = (0, 1, 2, 3, 7, 64, 1000, -1, -2, 1 << 16, 1 << 31, (1 << 31) - 1, 1 << 40, (1 << 63) - 1, -(1 << 63))
NUMBERS = (0.0, -0.0, 1.0, -1.0, 0.5, 1e-30, 1e30, float("nan"), float("inf"), float("-inf"))
NAMES = ("", "x", "y", "*/", '"', "a b", "\\", "??/", "é", "int", "../x", "%s", "x" * 5000, "a\nb", "\u202e")
DTYPES = (*range(29), 99, -1)
OPSETS = (0, 1, 6, 7, 8, 9, 10, 11, 12, 13, 14, 17, 18, 21, 23, 9999, -1)
DOMAINS = ("", "ai.onnx", "ai.onnx.ml", "com.microsoft", "local", "x" * 100)
# what is made from sizes, and whatever needs an operand of its own kind
KINDS = (
    "Abs", "Add", "And", "ArgMax", "AveragePool", "BatchNormalization", "BitShift", "Cast", "CenterCropPad", "Clip",
    "Col2Im", "Compress", "Concat", "Constant", "ConstantOfShape", "Conv", "ConvTranspose", "CumSum", "DFT",
    "DepthToSpace", "DequantizeLinear", "Div", "Dropout", "Einsum", "Expand", "EyeLike", "Flatten", "GRU", "Gather",
    "GatherElements", "GatherND", "Gemm", "GridSample", "Hardmax", "Identity", "If", "InstanceNormalization", "LRN",
    "LSTM", "LayerNormalization", "LogSoftmax", "Loop", "MatMul", "Max", "MaxPool", "Mod", "Mul", "NonZero", "OneHot",
    "Optional", "Pad", "Pow", "QuantizeLinear", "RNN", "Range", "ReduceMax", "ReduceMean", "ReduceProd", "Reshape",
    "Resize", "ReverseSequence", "Scan", "ScatterElements", "ScatterND", "SequenceAt", "Shape", "Size", "Slice",
    "Softmax", "SpaceToDepth", "Split", "SplitToSequence", "Squeeze", "Tile", "TopK", "Transpose", "Trilu", "Unique",
    "Unsqueeze", "Upsample", "Where", "Attention", "RotaryEmbedding", "RMSNormalization", "Nonsense",
)  # fmt: skip

Change = Callable[[random.Random, ModelProto], None]


@dataclass(frozen=True)
class Mutant:
    """`name` says how it was made: the seed model, then each change."""

    name: str
    content: bytes
    shapes: dict[str, tuple[int, ...]]
    structured: bool


# -- bytes --------------------------------------------------------------------------------------------------------


def changed_bytes(rng: random.Random, content: bytes) -> tuple[str, bytes]:
    at = rng.randrange(len(content))
    end = min(len(content), at + rng.choice((1, 2, 4, 16, 200)))
    kind = rng.choice(("flip", "flip", "set", "cut", "remove", "insert", "repeat", "splice"))
    if kind == "flip":
        return kind, content[:at] + bytes([content[at] ^ 1 << rng.randrange(8)]) + content[at + 1 :]
    if kind == "set":
        return kind, content[:at] + bytes([rng.choice((0, 1, 0x7F, 0x80, 0xFF))]) + content[at + 1 :]
    if kind == "cut":
        return kind, content[:at]
    if kind == "remove":
        return kind, content[:at] + content[end:]
    if kind == "insert":
        return kind, content[:at] + rng.randbytes(end - at) + content[at:]
    if kind == "repeat":
        return kind, content[:end] + content[at:end] + content[end:]
    to = rng.randrange(len(content))
    return kind, content[:to] + content[at:end] + content[to + end - at :]


# -- structure ----------------------------------------------------------------------------------------------------


def graphs(model: ModelProto) -> list[GraphProto]:
    found, stack = [], [model.graph]
    while stack:
        graph = stack.pop()
        found.append(graph)
        stack += [a.g for n in graph.node for a in n.attribute if a.type == AttributeProto.GRAPH]
    return found


def a_graph(rng: random.Random, model: ModelProto) -> GraphProto:
    return rng.choice(graphs(model))


def a_node(rng: random.Random, model: ModelProto) -> NodeProto | None:
    nodes = [n for g in graphs(model) for n in g.node] + [n for f in model.functions for n in f.node]
    return rng.choice(nodes) if nodes else None


def a_tensor(rng: random.Random, model: ModelProto) -> TensorProto | None:
    tensors = [t for g in graphs(model) for t in g.initializer]
    tensors += [a.t for g in graphs(model) for n in g.node for a in n.attribute if a.type == AttributeProto.TENSOR]
    return rng.choice(tensors) if tensors else None


def known_names(model: ModelProto) -> list[str]:
    found = [v.name for g in graphs(model) for v in (*g.input, *g.output)]
    found += [t.name for g in graphs(model) for t in g.initializer]
    return found + [o for g in graphs(model) for n in g.node for o in n.output]


def remove_node(rng: random.Random, model: ModelProto) -> None:
    graph = a_graph(rng, model)
    if graph.node:
        del graph.node[rng.randrange(len(graph.node))]


def repeat_node(rng: random.Random, model: ModelProto) -> None:
    graph = a_graph(rng, model)
    if graph.node:
        graph.node.add().CopyFrom(rng.choice(graph.node))


def swap_nodes(rng: random.Random, model: ModelProto) -> None:
    graph = a_graph(rng, model)
    if len(graph.node) > 1:
        i, j = rng.sample(range(len(graph.node)), 2)
        kept = NodeProto.FromString(graph.node[i].SerializeToString())
        graph.node[i].CopyFrom(graph.node[j])
        graph.node[j].CopyFrom(kept)


def rewire(rng: random.Random, model: ModelProto) -> None:
    node = a_node(rng, model)
    if node is not None and node.input:
        node.input[rng.randrange(len(node.input))] = rng.choice([*known_names(model), "", "nowhere"])


def swap_operands(rng: random.Random, model: ModelProto) -> None:
    node = a_node(rng, model)
    if node is not None and len(node.input) > 1:
        i, j = rng.sample(range(len(node.input)), 2)
        node.input[i], node.input[j] = node.input[j], node.input[i]


def remove_operand(rng: random.Random, model: ModelProto) -> None:
    node = a_node(rng, model)
    if node is not None and node.input:
        del node.input[rng.randrange(len(node.input))]


def add_operand(rng: random.Random, model: ModelProto) -> None:
    node = a_node(rng, model)
    if node is not None:
        node.input.append(rng.choice([*known_names(model), ""]))


def change_results(rng: random.Random, model: ModelProto) -> None:
    node = a_node(rng, model)
    if node is None:
        return
    if node.output and rng.random() < 0.5:
        node.output[rng.randrange(len(node.output))] = rng.choice([*known_names(model), "", "fresh"])
    elif node.output and rng.random() < 0.3:
        del node.output[-1]
    else:
        node.output.append(rng.choice([*known_names(model), "fresh"]))


def change_kind(rng: random.Random, model: ModelProto) -> None:
    node = a_node(rng, model)
    if node is not None:
        node.op_type = rng.choice(KINDS)


def change_domain(rng: random.Random, model: ModelProto) -> None:
    node = a_node(rng, model)
    if node is not None:
        node.domain = rng.choice(DOMAINS)


def change_attribute(rng: random.Random, model: ModelProto) -> None:
    """A value of an attribute, of its own type."""
    node = a_node(rng, model)
    attributes = list(node.attribute) if node is not None else []
    if not attributes:
        return
    found = rng.choice(attributes)
    if found.type == AttributeProto.INT:
        found.i = rng.choice(LENGTHS)
    elif found.type == AttributeProto.FLOAT:
        found.f = rng.choice(NUMBERS)
    elif found.type == AttributeProto.STRING:
        found.s = rng.choice((b"", b"SAME_UPPER", b"VALID", b"linear", b"constant", b"\xff\xfe", found.s[:-1]))
    elif found.type == AttributeProto.INTS and found.ints:
        found.ints[rng.randrange(len(found.ints))] = rng.choice(LENGTHS)
    elif found.type == AttributeProto.FLOATS and found.floats:
        found.floats[rng.randrange(len(found.floats))] = rng.choice(NUMBERS)


def resize_attribute(rng: random.Random, model: ModelProto) -> None:
    """A list attribute longer or shorter; any attribute gone or there twice."""
    node = a_node(rng, model)
    if node is None or not node.attribute:
        return
    i = rng.randrange(len(node.attribute))
    found = node.attribute[i]
    how = rng.choice(("remove", "repeat", "shorter", "longer"))
    if how == "remove":
        del node.attribute[i]
    elif how == "repeat":
        node.attribute.add().CopyFrom(found)
    elif how == "shorter" and found.ints:
        del found.ints[-1]
    elif how == "longer" and found.type == AttributeProto.INTS:
        found.ints.append(rng.choice(LENGTHS))


def add_attribute(rng: random.Random, model: ModelProto) -> None:
    """One that many operators read, or one of a wrong type."""
    node = a_node(rng, model)
    if node is None:
        return
    name = rng.choice(
        ("axis", "axes", "to", "mode", "group", "strides", "pads", "dilations", "kernel_shape", "perm", "auto_pad",
         "keepdims", "alpha", "epsilon", "body", "value", "direction", "hidden_size", "layout", "block_size")
    )  # fmt: skip
    value = rng.choice((rng.choice(LENGTHS), [rng.choice(LENGTHS) for _ in range(rng.randrange(1, 5))], 0.5, "text"))
    kept = [a for a in node.attribute if a.name != name]
    made_new = helper.make_attribute(name, value)
    copies = [AttributeProto.FromString(a.SerializeToString()) for a in kept]
    del node.attribute[:]
    node.attribute.extend([*copies, made_new])


def change_attribute_type(rng: random.Random, model: ModelProto) -> None:
    node = a_node(rng, model)
    if node is not None and node.attribute:
        rng.choice(node.attribute).type = rng.choice(list(range(15)))


def change_dims(rng: random.Random, model: ModelProto) -> None:
    """Of an input, output or a value."""
    graph = a_graph(rng, model)
    infos = [*graph.input, *graph.output, *graph.value_info]
    if not infos:
        return
    kind = rng.choice(infos).type.tensor_type
    how = rng.choice(("set", "name", "add", "remove", "none"))
    dims = kind.shape.dim
    if how == "none":
        kind.ClearField("shape")
    elif how == "add" or not dims:
        dims.add().dim_value = rng.choice(LENGTHS)
    elif how == "set":
        dims[rng.randrange(len(dims))].dim_value = rng.choice(LENGTHS)
    elif how == "name":
        dims[rng.randrange(len(dims))].dim_param = rng.choice(NAMES)
    else:
        del dims[-1]


def change_dtype(rng: random.Random, model: ModelProto) -> None:
    graph = a_graph(rng, model)
    infos = [*graph.input, *graph.output]
    if infos:
        rng.choice(infos).type.tensor_type.elem_type = rng.choice(DTYPES)


def change_kind_of_input(rng: random.Random, model: ModelProto) -> None:
    """A sequence, an optional, a map, a sparse tensor, or nothing."""
    graph = a_graph(rng, model)
    if not graph.input:
        return
    kind = rng.choice(graph.input).type
    how = rng.choice(("sequence", "optional", "sparse", "map", "none"))
    kind.Clear()
    if how == "sequence":
        kind.sequence_type.elem_type.tensor_type.elem_type = 1
    elif how == "optional":
        kind.optional_type.elem_type.tensor_type.elem_type = 1
    elif how == "sparse":
        kind.sparse_tensor_type.elem_type = 1
    elif how == "map":
        kind.map_type.key_type = 7


def change_tensor_shape(rng: random.Random, model: ModelProto) -> None:
    tensor = a_tensor(rng, model)
    if tensor is None:
        return
    if tensor.dims and rng.random() < 0.7:
        tensor.dims[rng.randrange(len(tensor.dims))] = rng.choice(LENGTHS)
    else:
        tensor.dims.append(rng.choice(LENGTHS))


def change_tensor_type(rng: random.Random, model: ModelProto) -> None:
    tensor = a_tensor(rng, model)
    if tensor is not None:
        tensor.data_type = rng.choice(DTYPES)


def change_contents(rng: random.Random, model: ModelProto) -> None:
    """An element of a stored tensor becomes extreme: what sizes, axes and scales are read from."""
    tensor = a_tensor(rng, model)
    if tensor is None or tensor.data_type not in (TensorProto.INT64, TensorProto.FLOAT):
        return
    whole = tensor.data_type == TensorProto.INT64
    size = 8 if whole else 4
    listed = tensor.int64_data if whole else tensor.float_data
    value = rng.choice(LENGTHS) if whole else rng.choice(NUMBERS)
    if listed:
        listed[rng.randrange(len(listed))] = value
    elif len(tensor.raw_data) >= size:
        at = rng.randrange(len(tensor.raw_data) // size) * size
        new = helper.make_tensor("", tensor.data_type, [1], [value])
        stored = new.int64_data if whole else new.float_data
        content = stored[0].to_bytes(8, "little", signed=True) if whole else _float_bytes(stored[0])
        tensor.raw_data = tensor.raw_data[:at] + content + tensor.raw_data[at + size :]


def _float_bytes(value: float) -> bytes:
    import struct

    return struct.pack("<f", value)


def change_storage(rng: random.Random, model: ModelProto) -> None:
    """Data too short, too long, in another field, or outside the file."""
    tensor = a_tensor(rng, model)
    if tensor is None:
        return
    how = rng.choice(("short", "long", "double", "outside", "empty"))
    if how == "short":
        tensor.raw_data = tensor.raw_data[:-1]
    elif how == "long":
        tensor.raw_data = tensor.raw_data + b"\0\0\0\0"
    elif how == "double":
        tensor.float_data.extend([1.0, 2.0])
    elif how == "empty":
        tensor.ClearField("raw_data")
    else:
        tensor.data_location = TensorProto.EXTERNAL
        where = rng.choice(("../secret", "/etc/passwd", "missing.bin", "", ".", "a\0b"))
        tensor.external_data.add(key="location", value=where)
        tensor.external_data.add(key="offset", value=str(rng.choice(LENGTHS)))


def rename(rng: random.Random, model: ModelProto) -> None:
    graph = a_graph(rng, model)
    infos = [*graph.input, *graph.output, *graph.initializer, *graph.node]
    if infos:
        rng.choice(infos).name = rng.choice(NAMES)


def rename_everywhere(rng: random.Random, model: ModelProto) -> None:
    """A tensor gets an odd but consistent name, which is legal."""
    old, new = rng.choice([*known_names(model), ""]), rng.choice(NAMES)
    for graph in graphs(model):
        for item in (*graph.input, *graph.output, *graph.initializer):
            if item.name == old:
                item.name = new
        for node in graph.node:
            for names in (node.input, node.output):
                for i, name in enumerate(names):
                    if name == old:
                        names[i] = new


def change_opset(rng: random.Random, model: ModelProto) -> None:
    if model.opset_import:
        rng.choice(model.opset_import).version = rng.choice(OPSETS)


def change_interface(rng: random.Random, model: ModelProto) -> None:
    """An input or output more or less; an initializer that is an input; any tensor as an output."""
    graph = a_graph(rng, model)
    how = rng.choice(("output", "no input", "no output", "free"))
    if how == "output":
        new = rng.choice(known_names(model))
        graph.output.add().CopyFrom(helper.make_tensor_value_info(new, TensorProto.FLOAT, None))
    elif how == "no input" and graph.input:
        del graph.input[rng.randrange(len(graph.input))]
    elif how == "no output" and graph.output:
        del graph.output[rng.randrange(len(graph.output))]
    elif how == "free" and graph.initializer:
        i = rng.randrange(len(graph.initializer))
        tensor = graph.initializer[i]
        graph.input.add().CopyFrom(helper.make_tensor_value_info(tensor.name, tensor.data_type, list(tensor.dims)))
        del graph.initializer[i]


def make_sparse(rng: random.Random, model: ModelProto) -> None:
    graph = a_graph(rng, model)
    if graph.initializer:
        tensor = rng.choice(graph.initializer)
        sparse = graph.sparse_initializer.add()
        sparse.values.CopyFrom(helper.make_tensor(tensor.name, TensorProto.FLOAT, [2], [1.0, 2.0]))
        sparse.indices.CopyFrom(helper.make_tensor("", TensorProto.INT64, [2], [0, rng.choice(LENGTHS)]))
        sparse.dims.extend(rng.choice(LENGTHS) for _ in range(rng.randrange(1, 4)))


def make_function(rng: random.Random, model: ModelProto) -> None:
    """A function of a node of the model, or of itself."""
    node = a_node(rng, model)
    if node is None:
        return
    name = rng.choice((node.op_type, "F"))
    body = NodeProto.FromString(node.SerializeToString())
    if rng.random() < 0.3:
        body.op_type, body.domain = name, "local"
    names = dict.fromkeys(i for i in node.input if i)
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid("local", 1)]
    model.functions.append(
        helper.make_function("local", name, list(names), list(dict.fromkeys(node.output)), [body], opsets)
    )
    node.op_type, node.domain = name, "local"
    if all(o.domain != "local" for o in model.opset_import):
        model.opset_import.append(helper.make_opsetid("local", 1))


def graft(rng: random.Random, model: ModelProto) -> None:
    """Nodes and weights of another seed."""
    other = rng.choice(made()).model
    graph = a_graph(rng, model)
    for node in rng.sample(list(other.graph.node), min(2, len(other.graph.node))):
        graph.node.add().CopyFrom(node)
    graph.initializer.extend(other.graph.initializer[:5])


def nest(rng: random.Random, model: ModelProto) -> None:
    """A node moves into the branches of an If, up to 20 deep."""
    graph = a_graph(rng, model)
    if not graph.node:
        return
    node = rng.choice(graph.node)
    inner = NodeProto.FromString(node.SerializeToString())
    for depth in range(rng.choice((1, 3, 20))):
        outputs = [helper.make_tensor_value_info(o, TensorProto.FLOAT, None) for o in inner.output]
        branch = helper.make_graph([inner], f"depth{depth}", [], outputs)
        empty = helper.make_graph([], "empty", [], outputs)
        inner = helper.make_node("If", ["decided"], list(inner.output), then_branch=branch, else_branch=empty)
    node.CopyFrom(inner)
    model.graph.initializer.append(helper.make_tensor("decided", TensorProto.BOOL, [], [rng.random() < 0.8]))


CHANGES: tuple[Change, ...] = (
    remove_node, repeat_node, swap_nodes, rewire, rewire, swap_operands, remove_operand, add_operand, change_results,
    change_kind, change_kind, change_domain, change_attribute, change_attribute, change_attribute, resize_attribute,
    add_attribute, change_attribute_type, change_dims, change_dims, change_dtype, change_kind_of_input,
    change_tensor_shape, change_tensor_type, change_contents, change_contents, change_contents, change_storage, rename,
    rename_everywhere, change_opset, change_interface, make_sparse, make_function, graft, nest,
)  # fmt: skip


# -- mutants ------------------------------------------------------------------------------------------------------


def mutant(seed: Seed, rng: random.Random, structured: bool) -> Mutant:
    if structured:
        changed = ModelProto()
        changed.CopyFrom(seed.model)
        used = []
        for _ in range(rng.choice((1, 1, 1, 2, 2, 3, 5))):
            change = rng.choice(CHANGES)
            try:
                change(rng, changed)
            except (ValueError, TypeError, OverflowError):  # protobuf has no room for such a value
                continue
            used.append(change.__name__)
        return Mutant("/".join([seed.name, *used]), changed.SerializeToString(), seed.shapes, True)
    content = seed.model.SerializeToString()
    names = []
    for _ in range(rng.choice((1, 1, 2, 5))):
        name, content = changed_bytes(rng, content or b"\0")
        names.append(name)
    return Mutant("/".join([seed.name, *names]), content, seed.shapes, False)


def mutants(count: int, seed: int) -> Iterator[Mutant]:
    """`count` of them, every other one structure-aware; a third of the seeds are small models, two are operator cases.

    The example is large, so that few of its bytes matter: it comes as often as each other made model.
    """
    rng = random.Random(seed)
    own, standard = made(), cases()
    for i in range(count):
        yield mutant(rng.choice(own if rng.random() < 0.6 else standard), rng, i % 2 == 1)


def main() -> int:
    import argparse

    from hostile.campaign import run

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--builds", type=int, default=50)
    parser.add_argument("--keep", type=Path)
    parser.add_argument("--sentences", action="store_true", help="print every kind of refusal, too")
    given = parser.parse_args()
    found = run(given.count, given.seed, given.builds, given.keep)
    if given.sentences:
        for text, count in found.sentences.most_common():
            print(f"{count:5} {text}")
    print(found.summary())
    return 1 if found.crashes else 0


if __name__ == "__main__":
    sys.exit(main())
