"""Graphs that use every kernel header, with lengths round those of vectors and tiles: what sanitizers are run on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import test_bf16gemm
import test_coded
import test_coded_recurrent
import test_dynamic
import test_float8
import test_float8gemm
import test_halves
import test_integer
import test_integer_rows
import test_q4gemm
import test_qconv
import test_qdepthwise
import test_recurrent_bytes
from compiled import assert_close
from network import Array, Network
from test_blocks import cut, network, sliced_image, sliced_tokens, squeeze_excite, transformer, upwards

from edgec.ir import interp
from edgec.ir.graph import Graph, Value
from edgec.ir.types import DTYPES, NARROW
from edgec.plan.schedule import Segment
from edgec.targets.c.isa import Isa
from edgec.targets.host import target

INTEGERS = ("i8", "i16", "i32", "i64", "u8", "u16", "u32", "u64")
LENGTHS = (1, 3, 4, 7, 8, 9, 15, 16, 17, 33)


class Net(Network):
    """`segments`: in place of the schedule's; `tame`: for inputs of indices, those that kernels make of them."""

    def __init__(self) -> None:
        super().__init__(20)
        self.segments: list[Segment] | None = None
        self.tame: dict[str, Any] = {}
        self.close = assert_close  # what judges an output

    def whole(self, dtype: str, *shape: int) -> Value:
        """The dtype's whole range, where sums and products wrap."""
        info = np.iinfo(DTYPES[dtype])
        return self.source(self.rng.integers(info.min, info.max, shape, DTYPES[dtype], endpoint=True), dtype)

    def places(self, size: int | tuple[int, ...], *shape: int) -> Value:
        """Indices, some of them out of range: kernels read those as the nearest legal one."""
        limit = np.array(size)
        wild = self.rng.integers(-2 * limit, 2 * limit, shape)
        value = self.source(wild, "i64")
        self.tame[value.name] = np.clip(wild, -limit, limit - 1)
        return value

    def expected(self) -> dict[str, Array]:
        return interp.run(self.graph, {**self.feeds, **self.tame})

    def hidden(self, value: Value) -> Value:
        """The value again, in scratch: what comes of it is read from there."""
        return self.build.op("neg", value)


def convolutions() -> Net:
    net = Net()
    window: dict[str, Any] = dict(layout="nhwc")
    for c, oc, size, kernel, stride, pads, dilation, groups in (
        (3, 16, (8, 8), (3, 3), 1, (1, 1, 1, 1), 1, 1), (3, 5, (9, 7), (3, 3), 2, (0, 0, 1, 1), 1, 1),
        (8, 24, (5, 5), (1, 1), 1, (0, 0, 0, 0), 1, 1), (17, 33, (7, 6), (1, 1), 2, (0, 0, 0, 0), 1, 1),
        (16, 31, (6, 6), (3, 3), 1, (1, 1, 1, 1), 1, 1), (12, 12, (10, 10), (3, 3), 1, (1, 1, 1, 1), 1, 12),
        (33, 33, (9, 11), (5, 5), 2, (2, 2, 2, 2), 1, 33), (7, 7, (6, 6), (7, 7), 1, (3, 3, 3, 3), 1, 7),
        (16, 16, (4, 9), (3, 3), 2, (0, 1, 1, 0), 1, 16), (8, 8, (4, 4), (3, 3), 1, (2, 2, 2, 2), 2, 8),
        (8, 12, (12, 12), (3, 3), 1, (1, 1, 1, 1), 1, 2), (6, 9, (12, 12), (3, 3), 1, (2, 2, 2, 2), 2, 1),
        (4, 4, (6, 6), (3, 3), 1, (-1, 0, -1, 0), 1, 1), (1, 1, (3, 3), (3, 3), 1, (1, 1, 1, 1), 1, 1),
        (32, 50, (22, 19), (3, 3), 1, (1, 1, 1, 1), 1, 1),  # by Winograd's algorithm, tiles of 4 x 4 pixels
        (36, 40, (6, 6), (3, 3), 1, (1, 1, 1, 1), 1, 1),  # of 2 x 2
    ):  # fmt: skip
        x = net.hidden(net.floats(1, *size, c))
        attrs: Any = dict(strides=(stride, stride), pads=pads, dilations=(dilation, dilation), groups=groups, **window)
        weights = net.const(oc, c // groups, *kernel), net.const(oc)
        y = net.op("conv", x, *weights, **attrs, act="relu")
        residual = net.floats(*y.type.dims)
        net.done(net.hidden(net.build.op("conv", x, *weights, residual, **attrs, act="hard_swish")))
        net.done(net.build.op("conv", x, net.floats(oc, c // groups, *kernel), **attrs))  # weights at run time
    for image, kernel, stride, pads, dilation, groups, extra in (
        ((1, 4, 4, 6), (6, 5, 2, 2), 2, (0, 0, 0, 0), 1, 1, 0), ((1, 5, 3, 6), (6, 4, 3, 3), 2, (1, 1, 1, 1), 1, 1, 1),
        ((2, 3, 3, 4), (4, 2, 3, 3), 1, (0, 0, 0, 0), 2, 2, 0),
        ((1, 3, 3, 17), (17, 9, 1, 1), 3, (0, 0, 0, 0), 1, 1, 1),
    ):  # fmt: skip
        attrs = dict(strides=(stride, stride), pads=pads, dilations=(dilation, dilation), groups=groups, **window)
        x = net.hidden(net.floats(*image))
        net.op("conv_transpose", x, net.const(*kernel), net.const(kernel[1] * groups), **attrs,
               output_padding=(extra, extra))  # fmt: skip
    cube: Any = dict(strides=(1, 2, 1), pads=(1, 0, 1, 1, 0, 1), dilations=(1, 1, 1), groups=1, layout="nchw")
    net.op("conv", net.floats(1, 3, 4, 5, 6), net.const(4, 3, 3, 2, 3), **cube, act="clip:-1.0:1.0")
    del cube["groups"]
    for kind in ("max_pool", "avg_pool"):
        net.op(kind, net.floats(1, 3, 4, 5, 6), kernel=(2, 3, 2), **cube)
    for channels in LENGTHS:
        x = net.hidden(net.floats(1, 7, 6, channels))
        for kind, extra in (("max_pool", {}), ("avg_pool", {}), ("avg_pool", {"count_include_pad": True})):
            net.op(kind, x, kernel=(3, 2), strides=(2, 1), pads=(1, 1, 1, 0), dilations=(1, 1), **window, **extra)
    return net


def in_blocks(graph: Graph, lengths: Sequence[int], step: int, slices: int = 1) -> Net:
    """A graph of tests/targets/test_blocks.py, cut into segments of so many ops, `step` rows at a time."""
    net = Net()
    net.graph = graph
    net.feeds = {v.name: net.rng.standard_normal(v.type.dims).astype(v.type.numpy) for v in graph.inputs}
    net.segments = [Segment(s.ops, s.step, slices) for s in cut(graph, list(lengths), step)]
    return net


def products() -> Net:
    net = Net()
    for n in LENGTHS:
        a = net.hidden(net.floats(n, 5))
        net.op("matmul", a, net.const(5, n), net.const(n), act="relu")
        net.op("matmul", a, net.floats(5, n))
        net.op("matmul", net.floats(3, n), net.floats(n + 1, n), trans_b=True)
        net.op("matmul", net.floats(1, n), net.const(n, 2 * n + 1), act="tanh")
    net.op("matmul", net.floats(2, 3, 6, 10), net.floats(2, 3, 10, 4))
    net.op("matmul", net.floats(4, 1, 8, 8), net.floats(3, 8, 8))
    net.op("matmul", net.floats(1, 300), net.const(300, 257))
    for dtype in ("i32", "u8", "i64"):
        net.op("matmul", net.whole(dtype, 3, 4), net.whole(dtype, 4, 5))
    net.op("matmul", net.floats(3, 4, dtype="f64"), net.floats(4, 5, dtype="f64"))
    for heads, keys, causal in ((4, 4, False), (4, 2, True)):
        q, k, v = net.floats(2, heads, 5, 9), net.floats(2, keys, 7, 9), net.floats(2, keys, 7, 3)
        net.op("attention", q, k, v, net.floats(5, 7), scale=0.3, causal=causal)
        mask = net.source(net.rng.integers(0, 2, (1, 1, 5, 7)), "bool")
        net.op("attention", q, k, v, mask, scale=0.3, causal=causal)
    one, keys, values = net.floats(1, 2, 1, 13), net.floats(1, 2, 50, 13), net.floats(1, 2, 50, 5)
    net.op("attention", one, keys, values, net.floats(50), scale=0.4, causal=False)
    net.op("attention", net.floats(1, 1, 6, 130), net.floats(1, 1, 9, 130), net.floats(1, 1, 9, 3), scale=0.1,
           causal=True)  # fmt: skip
    constant = net.build.const(net.rng.standard_normal((37, 40)), "f32")
    net.op("attention", net.floats(1, 2, 37, 8), net.floats(1, 1, 40, 8), net.floats(1, 1, 40, 17), constant, scale=0.3,
           causal=False)  # fmt: skip
    for kind, gates in (("lstm", 4), ("gru", 3), ("rnn", 1)):
        per = {"lstm": ["Sigmoid", "Tanh", "Tanh"], "gru": ["Sigmoid", "Tanh"], "rnn": ["Tanh"]}[kind]
        for direction, d in (("forward", 1), ("bidirectional", 2)):
            h, b, t, i = 9, 2, 4, 5
            lens = net.source([4, 2], "i64")
            state = [net.floats(d, b, h)] * (2 if kind == "lstm" else 1)
            results = net.build.ops(
                kind, net.floats(t, b, i), net.const(d, gates * h, i), net.const(d, gates * h, h),
                net.const(d, 2 * gates * h), lens, *state, direction=direction, activations=tuple(per * d), clip=0.0,
            )  # fmt: skip
            net.done(*results)
    return net


def elements() -> Net:
    net = Net()
    special = [0.0, -0.0, np.inf, -np.inf, np.nan, 1e-40, 88.5, -104.5, 3.0, -2.5, 1e30, -1e30, 3e9, -3e9]
    x = net.source(np.concatenate([special, net.rng.uniform(-9, 9, 87)]))
    for kind in ("exp", "log", "tanh", "erf", "sigmoid", "gelu", "silu", "hard_swish", "mish", "softplus", "sqrt",
                 "floor", "round", "sign", "reciprocal"):  # fmt: skip
        net.op(kind, x)
    for dtype in INTEGERS:
        a, b, small = net.whole(dtype, 5, 7), net.whole(dtype, 7), net.source(net.rng.integers(0, 9, (5, 7)), dtype)
        for kind in ("add", "sub", "mul", "max", "min", "lt"):
            net.op(kind, a, b)
        net.op("mod", a, net.build.const(3, dtype))
        net.op("div", a, net.build.op("add", small, net.build.const(1, dtype)))
        if dtype[0] == "i":
            net.op("neg", a)
            net.op("abs", a)
        net.op("reduce_sum", a, axes=(0,))
        net.op("reduce_prod", a, axes=(1,))
        net.op("cumsum", a, axis=1)
        net.op("argmax", a, axis=0)
        net.done(*net.build.ops("topk", a, k=3, axis=1, largest=False))
        for to in ("f32", "i8", "u32", "bool"):
            net.op("cast", a, to=to)
        net.op("scatter_nd", a, net.places(5, 4, 1), net.whole(dtype, 4, 7), reduction="mul")
    for dtype in ("f16", "bf16"):
        a = net.floats(5, 7, dtype=dtype)
        net.op("cumsum", a, axis=0)
        net.op("argmin", a, axis=1)
        net.done(*net.build.ops("topk", a, k=3, axis=1))
        net.op("scatter_elements", a, net.places(5, 4, 7), net.floats(4, 7, dtype=dtype), axis=0, reduction="add")
        net.op("cast", a, to="f32")
        net.op("cast", net.source(net.rng.uniform(-9, 9, 9), "f64"), to=dtype)
    doubles = net.source(net.rng.uniform(-9, 9, 9), "f64")
    for kind in ("exp", "log", "tanh", "erf", "sin"):
        net.op(kind, doubles)
    net.op("fmod", doubles, net.source(net.rng.uniform(-3, 3, 9), "f64"))
    net.op("pow", net.source([-3, -1, 0, 2, 7], "i32"), net.source([3, -2, 0, -1, 60], "i32"))
    for n in LENGTHS:
        t = net.hidden(net.floats(3, n, 5))
        for axis in (1, 2):
            net.op("softmax", t, axis=axis)
            net.op("log_softmax", t, axis=axis)
            net.op("reduce_mean", t, axes=(axis,))
            net.op("reduce_max", t, axes=(axis,))
        net.op("layer_norm", net.floats(3, n), net.const(n), net.const(n), axis=1)
        net.op("rms_norm", net.floats(3, n), net.const(n), axis=1)
        net.op("relu", t)
        for kind in ("add", "mul", "prelu"):
            net.op(kind, t, net.floats(n, 1))
            net.op(kind, t, net.floats(3, n, 5))
        net.op("where", net.build.op("gt", t, net.build.const(0.0, "f32")), t, net.floats(n, 1))
    return net


def movement() -> Net:
    net = Net()
    for dtype in ("u8", "f16", "bf16", "f32", "i64"):
        m = net.source(net.rng.integers(0, 100, (3, 4, 5)), dtype)
        net.op("transpose", m, perm=(2, 0, 1))
        net.op("slice", m, starts=(2, 3, 1), stops=(-1, 0, 5), steps=(-1, -2, 2))
        net.op("concat", m, m, axis=1)
        net.op("pad", m, before=(1, 0, 2), after=(0, 3, 1), mode="reflect" if dtype == "f32" else "constant")
        net.op("broadcast_to", net.source(net.rng.integers(0, 9, (4, 1)), dtype), shape=(3, 4, 5))
        net.op("gather", m, net.places(4, 6), axis=1)
        net.op("gather_elements", m, net.places(5, 3, 4, 7), axis=2)
        net.op("gather_nd", m, net.places((3, 4), 6, 2))
        net.op("scatter_elements", m, net.places(4, 3, 2, 5), net.source(np.ones((3, 2, 5)), dtype), axis=1)
        net.op("scatter_nd", m, net.places(3, 4, 1), net.source(np.ones((4, 4, 5)), dtype))
    for mode in ("nearest", "linear", "cubic"):
        net.op("resize", net.floats(1, 5, 7, 3), sizes=(1, 11, 4, 3), scales=(1.0, 2.2, 4 / 7, 1.0), roi=(), mode=mode,
               coord="half_pixel", nearest="round_prefer_floor")  # fmt: skip
    return net


def narrow_elements() -> Net:
    """To types of 8 bits and fewer from numbers of all sizes, and from them."""
    net = Net()
    for dtype in ("f64", "f32", "f16", "bf16", "i64", "u8"):
        wide = dtype[0] in "iu"
        numbers = net.rng.integers(0, 99, 33) if wide else net.rng.standard_normal(33) * 2.0 ** np.arange(-50, 16, 2)
        x = net.source(numbers, dtype)
        for to in sorted(NARROW):
            net.op("cast", net.op("cast", x, to=to), to=dtype)
            net.op("cast", x, to=to, saturate=False, round_mode="nearest")
    return net


def of_halves(net: Net) -> Net:
    """The same where there are kernels of halves."""
    test_halves.narrowed(net.graph)
    net.close = test_halves.assert_little_noise
    if net.segments is not None:  # a cast stands in front and one behind
        lengths, step = [len(s.ops) for s in net.segments], max(s.step for s in net.segments)
        net.segments = cut(net.graph, [1, *lengths, 1], step)
    return net


def of_bf16(to: str) -> Net:
    made, net = test_bf16gemm.network(to), Net()
    net.graph, net.build, net.feeds, net.close = made.graph, made.build, made.feeds, test_bf16gemm.assert_near
    return net


def of_bytes(make: Callable[[Isa], Network]) -> Net:
    """On the bytes of this machine."""
    made, net = make(target.choose("").isa), Net()
    net.graph, net.build, net.feeds = made.graph, made.build, made.feeds
    return net


GRAPHS: dict[str, Callable[[], Net]] = {
    "convolutions": convolutions,
    "blocks_of_one_row": lambda: in_blocks(network(2), [12], 1),
    "blocks_of_three_rows": lambda: in_blocks(network(2), [12], 3),
    "blocks_cut_often": lambda: in_blocks(network(2), [5, 3, 2, 2], 5),
    "squeeze_and_excitation": lambda: in_blocks(squeeze_excite(2), [4, 2, 7, 4, 2, 7], 1),
    "upwards": lambda: in_blocks(upwards(2), [3, 5], 2),
    "tokens": lambda: in_blocks(transformer(1), [2, 2, 1, 4], 32),
    "sliced_image": lambda: in_blocks(sliced_image(), [len(sliced_image().ops)], 3, 6),
    "sliced_tokens": lambda: in_blocks(sliced_tokens(), [len(sliced_tokens().ops)], 24, 3),
    "products": products,
    "elements": elements,
    "movement": movement,
    "narrow_elements": narrow_elements,
    "convolutions_of_halves": lambda: of_halves(convolutions()),
    "blocks_of_halves": lambda: of_halves(in_blocks(network(2), [5, 3, 2, 2], 5)),
    "products_of_halves": lambda: of_halves(products()),
    "elements_of_halves": lambda: of_halves(elements()),
    "convolutions_of_bytes": lambda: of_bytes(test_qconv.network),
    "depthwise_of_bytes": lambda: of_bytes(test_qdepthwise.network),
    "weights_of_four_bits": lambda: of_bytes(test_q4gemm.network),
    "rows_with_scales": lambda: of_bytes(test_dynamic.network),
    "states_of_bytes": lambda: of_bytes(lambda _: test_recurrent_bytes.one_step()),
    "coded_weights": lambda: of_bytes(lambda _: test_coded.network("i4")),
    "coded_weights_with_zero_points": lambda: of_bytes(lambda _: test_coded.network("i4z")),
    "weights_of_8_bit_floats": lambda: of_bytes(lambda _: test_coded.network("e4m3")),
    "coded_weights_of_16": lambda: of_bytes(lambda _: test_coded.network("i8y")),
    "states_by_codes": lambda: of_bytes(lambda _: test_coded_recurrent.network("i4")),
    "weights_of_4_bit_floats": lambda: of_bytes(lambda _: test_coded.network("e2m1h")),
    "products_of_bf16": lambda: of_bf16("f32"),
    "products_to_bf16": lambda: of_bf16("bf16"),
    "products_of_8_bit_floats": lambda: of_bytes(lambda _: test_float8gemm.network("e4m3")),
    "8_bit_floats": lambda: of_bytes(lambda _: test_float8.network()),
    "elements_of_bytes": lambda: of_bytes(test_integer.network),
    "rows_of_bytes": lambda: of_bytes(test_integer_rows.network),
}
