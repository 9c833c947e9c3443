"""Networks over sound: spectrogram frames, one-dimensional convolution, recurrence."""

from __future__ import annotations

from architectures.net import Net
from onnx import ModelProto


def ds_cnn() -> ModelProto:
    """Depthwise-separable convolutions over a spectrogram (Zhang et al. 2017), as in MLPerf Tiny's keyword spotting."""
    net = Net("ds_cnn")
    x = net.input("frames", (1, 1, 49, 10))
    x = net.op("Conv", x, net.const(net.normal(64, 1, 10, 4, fan=40, gain=1.4)), kernel_shape=[10, 4], strides=[2, 2],
               pads=[4, 1, 5, 1])  # fmt: skip
    x = net.op("Relu", net.batch_norm(x, 64))
    for _ in range(4):
        x = net.op("Relu", net.batch_norm(net.conv(x, 64, 64, groups=64), 64))
        x = net.op("Relu", net.batch_norm(net.conv(x, 64, 64, (1, 1)), 64))
    net.output(net.op("Softmax", net.pooled_head(x, 64, 12), axis=1), "scores", (1, 12))
    return net.model()


def autoencoder() -> ModelProto:
    """Dense layers through a narrow waist, as in MLPerf Tiny's anomaly detection."""
    net = Net("autoencoder")
    x, width = net.input("frames", (1, 640)), 640
    for outputs in (128, 128, 8, 128, 128):
        y = net.gemm(x, width, outputs, gain=1.4)
        x, width = net.op("Relu", net.batch_norm(y, outputs)), outputs
    net.output(net.gemm(x, width, 640), "rebuilt", (1, 640))
    return net.model()


def tcn() -> ModelProto:
    """Causal dilated convolutions over time with residuals (Bai et al. 2018)."""
    net = Net("tcn")
    x, width = net.input("frames", (1, 20, 61)), 20
    for level, outputs in enumerate((24, 24, 32, 32)):
        step = 2**level
        y = net.op("Pad", x, net.ints(0, 0, 2 * step, 0, 0, 0), net.number(0.0))
        y = net.conv(y, width, outputs, (3,), dilation=step, bias=True, same=False)
        y = net.op("Relu", net.batch_norm(y, outputs))
        if width != outputs:
            x = net.conv(x, width, outputs, (1,), bias=True)
        x = net.op("Relu", net.op("Add", x, y))
        width = outputs
    last = net.op("Squeeze", net.op("Slice", x, net.ints(-1), net.ints(2**31), net.ints(2)), net.ints(2))
    net.output(net.gemm(last, width, 8), "logits", (1, 8))
    return net.model()


def gru_lstm() -> ModelProto:
    """A convolution, a bidirectional GRU and a bidirectional LSTM over its steps, and the mean over time."""
    net = Net("gru_lstm")
    x = net.input("frames", (1, 16, 30))
    x = net.op("Relu", net.conv(x, 16, 20, (3,), stride=2, bias=True))
    x = net.op("Transpose", x, perm=[2, 0, 1])  # to [time, batch, features]
    x = _recurrent(net, x, "GRU", 3, 20, 12, linear_before_reset=1)
    x = _recurrent(net, x, "LSTM", 4, 24, 10)
    x = net.op("ReduceMean", x, axes=[0], keepdims=0)
    net.output(net.gemm(x, 20, 6), "logits", (1, 6))
    return net.model()


def _recurrent(net: Net, x: str, kind: str, gates: int, inputs: int, hidden: int, **attributes: int) -> str:
    """Both directions, side by side as features: [time, batch, 2 hidden]."""
    weights = (
        net.normal(2, gates * hidden, inputs, fan=inputs), net.normal(2, gates * hidden, hidden, fan=hidden),
        net.normal(2, 2 * gates * hidden, gain=0.1),
    )  # fmt: skip
    results = net.op(kind, x, *map(net.const, weights), results=2 if kind == "GRU" else 3, hidden_size=hidden,
                     direction="bidirectional", **attributes)  # fmt: skip
    y = net.op("Transpose", results[0], perm=[0, 2, 1, 3])
    return str(net.op("Reshape", y, net.ints(0, 0, -1)))
