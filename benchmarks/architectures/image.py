"""Convolutional networks over small images."""

from __future__ import annotations

from architectures.net import Net
from onnx import ModelProto


def mobilenet_v2() -> ModelProto:
    """Inverted residuals with ReLU6 (Sandler et al. 2018), narrow and shallow."""
    net = Net("mobilenet_v2")
    x = net.input("image", (1, 3, 48, 48))
    x = net.relu6(net.batch_norm(net.conv(x, 3, 16, stride=2), 16))
    width = 16
    for expansion, outputs, repeats, stride in ((1, 8, 1, 1), (6, 12, 2, 2), (6, 16, 2, 2), (6, 24, 1, 1)):
        for i in range(repeats):
            inner, step = width * expansion, stride if i == 0 else 1
            y = x
            if expansion > 1:
                y = net.relu6(net.batch_norm(net.conv(y, width, inner, (1, 1)), inner))
            y = net.relu6(net.batch_norm(net.conv(y, inner, inner, stride=step, groups=inner), inner))
            y = net.batch_norm(net.conv(y, inner, outputs, (1, 1), gain=1.0), outputs)
            x = net.op("Add", x, y) if step == 1 and width == outputs else y
            width = outputs
    x = net.relu6(net.batch_norm(net.conv(x, width, 96, (1, 1)), 96))
    net.output(net.pooled_head(x, 96, 20), "logits", (1, 20))
    return net.model()


def mobilenet_v1() -> ModelProto:
    """Depthwise-separable convolutions of a quarter of the width (Howard et al. 2017)."""
    net = Net("mobilenet_v1")
    x = net.input("image", (1, 3, 48, 48))
    x = net.op("Relu", net.batch_norm(net.conv(x, 3, 8, stride=2), 8))
    width = 8
    for outputs, stride in ((16, 1), (32, 2), (32, 1), (64, 2), (64, 1), (128, 2), (128, 1)):
        x = net.op("Relu", net.batch_norm(net.conv(x, width, width, stride=stride, groups=width), width))
        x = net.op("Relu", net.batch_norm(net.conv(x, width, outputs, (1, 1)), outputs))
        width = outputs
    net.output(net.op("Softmax", net.pooled_head(x, width, 2), axis=-1), "scores", (1, 2))
    return net.model()


def resnet8() -> ModelProto:
    """Three residual stages of two 3 x 3 convolutions, as in MLPerf Tiny's image classification."""
    net = Net("resnet8")
    x = net.input("image", (1, 3, 32, 32))
    x = net.op("Relu", net.batch_norm(net.conv(x, 3, 16), 16))
    width = 16
    for outputs, stride in ((16, 1), (32, 2), (64, 2)):
        y = net.op("Relu", net.batch_norm(net.conv(x, width, outputs, stride=stride), outputs))
        y = net.batch_norm(net.conv(y, outputs, outputs), outputs)
        if stride > 1:
            x = net.conv(x, width, outputs, (1, 1), stride=stride, bias=True, same=False)
        x = net.op("Relu", net.op("Add", x, y))
        width = outputs
    net.output(net.pooled_head(x, width, 10), "logits", (1, 10))
    return net.model()


def mobilenet_v3() -> ModelProto:
    """Inverted residuals with squeeze-and-excitation and hard-swish (Howard et al. 2019), kernels of 3 and 5."""
    net = Net("mobilenet_v3")
    x = net.input("image", (1, 3, 40, 56))
    x = net.op("HardSwish", net.batch_norm(net.conv(x, 3, 16, stride=2), 16))
    width = 16
    for kernel, inner, outputs, excite, act, stride in (
        (3, 16, 16, True, "Relu", 2), (3, 72, 24, False, "Relu", 2), (3, 88, 24, False, "Relu", 1),
        (5, 96, 40, True, "HardSwish", 1), (5, 120, 40, True, "HardSwish", 1),
    ):  # fmt: skip
        y = net.op(act, net.batch_norm(net.conv(x, width, inner, (1, 1)), inner))
        y = net.batch_norm(net.conv(y, inner, inner, (kernel, kernel), stride=stride, groups=inner), inner)
        if excite:
            y = _squeeze_excite(net, y, inner)
        y = net.batch_norm(net.conv(net.op(act, y), inner, outputs, (1, 1), gain=1.0), outputs)
        x = net.op("Add", x, y) if stride == 1 and width == outputs else y
        width = outputs
    net.output(net.pooled_head(x, width, 12), "logits", (1, 12))
    return net.model()


def _squeeze_excite(net: Net, x: str, channels: int) -> str:
    squeezed = channels // 4
    gate = net.conv(net.op("GlobalAveragePool", x), channels, squeezed, (1, 1), bias=True)
    gate = net.conv(net.op("Relu", gate), squeezed, channels, (1, 1), bias=True)
    return str(net.op("Mul", x, net.op("HardSigmoid", gate, alpha=1 / 6, beta=0.5)))


def unet() -> ModelProto:
    """Two levels down by pooling and up by transposed convolution, skips by concatenation (Ronneberger et al. 2015)."""
    net = Net("unet")
    x = net.input("image", (1, 3, 36, 28))
    skips, width = [], 3
    for outputs in (12, 20):
        x = _double(net, x, width, outputs)
        skips.append((x, outputs))
        x = net.op("MaxPool", x, kernel_shape=[2, 2], strides=[2, 2])
        width = outputs
    x = _double(net, x, width, 32)
    width = 32
    for skip, outputs in reversed(skips):
        weights = net.const(net.normal(width, outputs, 2, 2, fan=width, gain=1.0))
        bias = net.const(net.normal(outputs, gain=0.1))
        x = net.op("ConvTranspose", x, weights, bias, kernel_shape=[2, 2], strides=[2, 2])
        x = _double(net, net.op("Concat", x, skip, axis=1), 2 * outputs, outputs)
        width = outputs
    net.output(net.op("Sigmoid", net.conv(x, width, 1, (1, 1), bias=True)), "mask", (1, 1, 36, 28))
    return net.model()


def _double(net: Net, x: str, inputs: int, outputs: int) -> str:
    x = net.op("Relu", net.batch_norm(net.conv(x, inputs, outputs), outputs))
    return str(net.op("Relu", net.batch_norm(net.conv(x, outputs, outputs), outputs)))


def convnext() -> ModelProto:
    """Depthwise 7 x 7, LayerNorm over channels, an expanding MLP with GELU, layer scale (Liu et al. 2022)."""
    net = Net("convnext")
    x = net.input("image", (1, 3, 32, 32))
    x = net.conv(x, 3, 24, (4, 4), stride=4, bias=True, same=False)
    width = 24
    for outputs in (24, 40):
        if outputs != width:
            x = net.conv(x, width, outputs, (2, 2), stride=2, bias=True, same=False)
            width = outputs
        y = net.conv(x, width, width, (7, 7), groups=width, bias=True)
        y = net.layer_norm(net.op("Transpose", y, perm=[0, 2, 3, 1]), width)
        y = net.linear(net.gelu(net.linear(y, width, 4 * width)), 4 * width, width)
        y = net.op("Mul", y, net.const(net.uniform(0.2, 1.0, width)))
        x = net.op("Add", x, net.op("Transpose", y, perm=[0, 3, 1, 2]))
    pooled = net.op("Flatten", net.op("GlobalAveragePool", x))
    net.output(net.gemm(net.layer_norm(pooled, width), width, 10), "logits", (1, 10))
    return net.model()
