"""Transformers: a small encoder over image patches and a decoder with a cache of keys and values."""

from __future__ import annotations

import math

import numpy as np
from architectures.net import Net
from onnx import ModelProto, TensorProto


def vit() -> ModelProto:
    """Patches, a class token, two pre-norm blocks (Dosovitskiy et al. 2020); norms, GELU and attention in long-hand."""
    net = Net("vit")
    width, heads = 32, 4
    x = net.conv(net.input("image", (1, 3, 32, 32)), 3, width, (8, 8), stride=8, bias=True, same=False)
    x = net.op("Transpose", net.op("Reshape", x, net.ints(0, 0, -1)), perm=[0, 2, 1])
    x = net.op("Concat", net.const(net.normal(1, 1, width)), x, axis=1)
    x = net.op("Add", x, net.const(net.normal(1, 17, width, gain=0.3)))
    for _ in range(2):
        x = net.op("Add", x, _self_attention(net, net.layer_norm(x, width), width, heads))
        y = net.gelu(net.linear(net.layer_norm(x, width), width, 4 * width))
        x = net.op("Add", x, net.linear(y, 4 * width, width))
    first = net.op("Gather", net.layer_norm(x, width), net.const(np.array(0, np.int64)), axis=1)
    net.output(net.gemm(first, width, 10), "logits", (1, 10))
    return net.model()


def _self_attention(net: Net, x: str, width: int, heads: int) -> str:
    """One product for queries, keys and values, as timm exports it."""
    each = width // heads
    joint = net.op("Reshape", net.linear(x, width, 3 * width), net.ints(1, -1, 3, heads, each))
    q, k, v = (
        net.op("Squeeze", part, net.ints(0))
        for part in net.op("Split", net.op("Transpose", joint, perm=[2, 0, 3, 1, 4]), results=3, axis=0)
    )
    scores = net.op("MatMul", net.op("Mul", q, net.number(each**-0.5)), net.op("Transpose", k, perm=[0, 1, 3, 2]))
    y = net.op("MatMul", net.op("Softmax", scores, axis=-1), v)
    y = net.op("Reshape", net.op("Transpose", y, perm=[0, 2, 1, 3]), net.ints(1, -1, width))
    return net.linear(y, width, width)


LAYERS, PAST, STEPS, WIDTH, HEADS, KEY_HEADS, VOCABULARY = 2, 6, 3, 32, 4, 2, 64


def llama() -> ModelProto:
    """A decoder of Llama's form: RMSNorm, rotary positions, grouped-query attention over a cache that grows by this
    call's steps, SwiGLU. `pos` are the positions of the new tokens."""
    net = Net("llama")
    each = WIDTH // HEADS
    ids = net.input("ids", (1, STEPS), TensorProto.INT64)
    pos = net.input("pos", (STEPS,), TensorProto.INT64)
    caches = [
        [net.input(f"past_{kind}{layer}", (1, KEY_HEADS, PAST, each)) for kind in "kv"] for layer in range(LAYERS)
    ]
    embedding = net.normal(VOCABULARY, WIDTH)
    x = net.op("Gather", net.const(embedding), ids)
    angles = np.outer(np.arange(PAST + STEPS), 10000.0 ** (-np.arange(0, each, 2) / each))
    both = np.concatenate([angles, angles], 1).astype(np.float32)
    cosine, sine = (net.op("Gather", net.const(table), pos) for table in (np.cos(both), np.sin(both)))
    # new token i sees the whole cache and the new tokens up to itself
    hidden = np.triu(np.full((STEPS, PAST + STEPS), -1e9, np.float32), PAST + 1)
    mask = net.const(hidden)
    for layer in range(LAYERS):
        y = net.rms_norm(x, WIDTH)
        q = _rotate(net, _heads(net, y, HEADS, each), cosine, sine, each)
        k = _rotate(net, _heads(net, y, KEY_HEADS, each), cosine, sine, each)
        v = _heads(net, y, KEY_HEADS, each)
        k = net.op("Concat", caches[layer][0], k, axis=2)
        v = net.op("Concat", caches[layer][1], v, axis=2)
        for kind, value in (("k", k), ("v", v)):
            net.output(value, f"new_{kind}{layer}", (1, KEY_HEADS, PAST + STEPS, each))
        wide = [_repeat(net, value, each) for value in (k, v)]
        scores = net.op("MatMul", q, net.op("Transpose", wide[0], perm=[0, 1, 3, 2]))
        scores = net.op("Add", net.op("Div", scores, net.number(math.sqrt(each))), mask)
        y = net.op("Transpose", net.op("MatMul", net.op("Softmax", scores, axis=-1), wide[1]), perm=[0, 2, 1, 3])
        x = net.op("Add", x, net.linear(net.op("Reshape", y, net.ints(1, STEPS, WIDTH)), WIDTH, WIDTH, bias=False))
        y = net.rms_norm(x, WIDTH)
        gate = net.linear(y, WIDTH, 88, bias=False)
        gate = net.op("Mul", gate, net.op("Sigmoid", gate))
        y = net.op("Mul", gate, net.linear(y, WIDTH, 88, bias=False))
        x = net.op("Add", x, net.linear(y, 88, WIDTH, bias=False))
    logits = net.op("MatMul", net.rms_norm(x, WIDTH), net.const(embedding.T / math.sqrt(WIDTH)))
    net.output(logits, "logits", (1, STEPS, VOCABULARY))
    return net.model()


def _heads(net: Net, x: str, heads: int, each: int) -> str:
    y = net.op("Reshape", net.linear(x, WIDTH, heads * each, bias=False), net.ints(1, STEPS, heads, each))
    return str(net.op("Transpose", y, perm=[0, 2, 1, 3]))


def _rotate(net: Net, x: str, cosine: str, sine: str, each: int) -> str:
    """x cos + (-second half, first half) sin (Su et al. 2021)."""
    half = each // 2
    first = net.op("Slice", x, net.ints(0), net.ints(half), net.ints(-1))
    second = net.op("Slice", x, net.ints(half), net.ints(each), net.ints(-1))
    turned = net.op("Concat", net.op("Neg", second), first, axis=-1)
    return str(net.op("Add", net.op("Mul", x, cosine), net.op("Mul", turned, sine)))


def _repeat(net: Net, x: str, each: int) -> str:
    """Each key head once for every query head that shares it."""
    shares = HEADS // KEY_HEADS
    y = net.op("Expand", net.op("Unsqueeze", x, net.ints(2)), net.ints(1, KEY_HEADS, shares, PAST + STEPS, each))
    return str(net.op("Reshape", y, net.ints(1, HEADS, PAST + STEPS, each)))
