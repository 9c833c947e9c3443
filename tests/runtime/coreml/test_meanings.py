"""What operators compute: against onnxruntime on the ONNX operator of the same meaning."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from coreml_packages import Build, computed, mb
from one_operator import ort

Array = np.ndarray[Any, Any]

RNG = np.random.default_rng(0)


def floats(*shape: int) -> Array:
    return RNG.standard_normal(shape).astype(np.float32)


X = floats(2, 6, 9, 8)
X3 = floats(2, 6, 11)
X5 = floats(1, 4, 5, 6, 7)
W = floats(4, 6, 3, 3)
POSITIVE = np.abs(floats(3, 5)) + np.float32(0.1)
SMALL = floats(3, 5)

CASES: dict[str, tuple[Build, list[Array], tuple[str, list[Array | None], dict[str, Any]]]] = {
    "conv": (lambda x: mb.conv(x=x, weight=W, bias=W[:, 0, 0, 0]), [X], ("Conv", [X, W, W[:, 0, 0, 0]], {})),
    "conv strides, pad, dilations": (
        lambda x: mb.conv(x=x, weight=W, strides=[2, 1], pad_type="custom", pad=[1, 2, 3, 0], dilations=[1, 2]),
        [X], ("Conv", [X, W], {"strides": [2, 1], "pads": [1, 3, 2, 0], "dilations": [1, 2]}),
    ),
    "conv same": (
        lambda x: mb.conv(x=x, weight=W, strides=[2, 2], pad_type="same"),
        [X], ("Conv", [X, W], {"strides": [2, 2], "auto_pad": "SAME_UPPER"}),
    ),
    "conv same_lower": (
        lambda x: mb.conv(x=x, weight=W, strides=[2, 2], pad_type="same_lower"),
        [X], ("Conv", [X, W], {"strides": [2, 2], "auto_pad": "SAME_LOWER"}),
    ),
    "conv groups": (
        lambda x: mb.conv(x=x, weight=W[:, :3], groups=2), [X], ("Conv", [X, W[:, :3]], {"group": 2}),
    ),
    "conv depthwise": (
        lambda x: mb.conv(x=x, weight=X[0, :, None, :3, :2], groups=6, dilations=[2, 1]),
        [X], ("Conv", [X, X[0, :, None, :3, :2]], {"group": 6, "dilations": [2, 1]}),
    ),
    "conv depthwise, two of a channel": (
        lambda x: mb.conv(x=x, weight=X.reshape(12, 1, 9, 8)[:, :, :3, :2], groups=6),
        [X], ("Conv", [X, X.reshape(12, 1, 9, 8)[:, :, :3, :2]], {"group": 6}),
    ),
    "conv 1-D": (
        lambda x: mb.conv(x=x, weight=W[:, :, :, 0], strides=[2]),
        [X3], ("Conv", [X3, W[:, :, :, 0]], {"strides": [2]}),
    ),
    "conv 3-D": (
        lambda x: mb.conv(x=x, weight=X5[:, :, :2, :3, :2]), [X5], ("Conv", [X5, X5[:, :, :2, :3, :2]], {}),
    ),
    "conv_transpose": (
        lambda x: mb.conv_transpose(x=x, weight=W.transpose(1, 0, 2, 3), strides=[2, 3], dilations=[2, 1],
                                    pad_type="custom", pad=[1, 0, 2, 1]),
        [X], ("ConvTranspose", [X, W.transpose(1, 0, 2, 3)], {"strides": [2, 3], "dilations": [2, 1],
                                                             "pads": [1, 2, 0, 1]}),
    ),
    "conv_transpose groups": (
        lambda x: mb.conv_transpose(x=x, weight=W.transpose(1, 0, 2, 3), groups=2, bias=np.ones(8, np.float32)),
        [X], ("ConvTranspose", [X, W.transpose(1, 0, 2, 3), np.ones(8, np.float32)], {"group": 2}),
    ),
    "conv_transpose 1-D": (
        lambda x: mb.conv_transpose(x=x, weight=W[:, :, :, 0].transpose(1, 0, 2), strides=[2]),
        [X3], ("ConvTranspose", [X3, W[:, :, :, 0].transpose(1, 0, 2)], {"strides": [2]}),
    ),
    "max_pool": (
        lambda x: mb.max_pool(x=x, kernel_sizes=[3, 2], strides=[2, 2], pad_type="custom", pad=[1, 1, 0, 1]),
        [X], ("MaxPool", [X], {"kernel_shape": [3, 2], "strides": [2, 2], "pads": [1, 0, 1, 1]}),
    ),
    "max_pool ceil": (
        lambda x: mb.max_pool(x=x, kernel_sizes=[2, 3], strides=[2, 2], pad_type="valid", ceil_mode=True),
        [X], ("MaxPool", [X], {"kernel_shape": [2, 3], "strides": [2, 2], "ceil_mode": 1}),
    ),
    "avg_pool": (
        lambda x: mb.avg_pool(x=x, kernel_sizes=[3, 2], strides=[2, 2], pad_type="custom", pad=[1, 1, 0, 1]),
        [X], ("AveragePool", [X], {"kernel_shape": [3, 2], "strides": [2, 2], "pads": [1, 0, 1, 1],
                                   "count_include_pad": 1}),
    ),
    "avg_pool without padding": (
        lambda x: mb.avg_pool(x=x, kernel_sizes=[3, 2], strides=[2, 2], pad_type="custom", pad=[1, 1, 0, 1],
                              exclude_padding_from_average=True),
        [X], ("AveragePool", [X], {"kernel_shape": [3, 2], "strides": [2, 2], "pads": [1, 0, 1, 1]}),
    ),
    "avg_pool 3-D": (
        lambda x: mb.avg_pool(x=x, kernel_sizes=[2, 3, 2], pad_type="valid"),
        [X5], ("AveragePool", [X5], {"kernel_shape": [2, 3, 2]}),
    ),
    "l2_pool": (
        lambda x: mb.l2_pool(x=x, kernel_sizes=[3, 2], strides=[2, 1], pad_type="valid"),
        [X], ("LpPool", [X], {"kernel_shape": [3, 2], "strides": [2, 1], "p": 2}),
    ),
    "matmul": (
        lambda x: mb.matmul(x=x, y=X[:1, :, :, :5], transpose_x=True), [X],
        ("MatMul", [X.transpose(0, 1, 3, 2), X[:1, :, :, :5]], {}),
    ),
    "linear": (
        lambda x: mb.linear(x=x, weight=SMALL, bias=SMALL[:, 0]), [SMALL],
        ("Gemm", [SMALL, SMALL, SMALL[:, 0]], {"transB": 1}),
    ),
    "einsum": (
        lambda x: mb.einsum(values=(x, x), equation="nchw,nwhu->nchu"), [X[:, :, :, :6]],
        ("Einsum", [X[:, :, :, :6], X[:, :, :, :6]], {"equation": "nchw,nwhu->nchu"}),
    ),
    "batch_norm": (
        lambda x: mb.batch_norm(x=x, mean=X[0, :, 0, 0], variance=np.abs(X[0, :, 1, 0]), gamma=X[0, :, 2, 0],
                                beta=X[0, :, 3, 0], epsilon=np.float32(1e-3)),
        [X], ("BatchNormalization", [X, X[0, :, 2, 0], X[0, :, 3, 0], X[0, :, 0, 0], np.abs(X[0, :, 1, 0])],
              {"epsilon": 1e-3}),
    ),
    "instance_norm": (
        lambda x: mb.instance_norm(x=x, gamma=X[0, :, 2, 0], beta=X[0, :, 3, 0], epsilon=np.float32(1e-3)),
        [X], ("InstanceNormalization", [X, X[0, :, 2, 0], X[0, :, 3, 0]], {"epsilon": 1e-3}),
    ),
    "layer_norm": (
        lambda x: mb.layer_norm(x=x, axes=[2, 3], gamma=X[0, 0], beta=X[0, 1], epsilon=np.float32(1e-3)),
        [X], ("LayerNormalization", [X, X[0, 0], X[0, 1]], {"axis": 2, "epsilon": 1e-3}),
    ),
    "local_response_norm": (
        lambda x: mb.local_response_norm(x=x, size=3, alpha=np.float32(0.2), beta=np.float32(0.6), k=np.float32(1.5)),
        [X], ("LRN", [X], {"size": 3, "alpha": 0.2, "beta": 0.6, "bias": 1.5}),
    ),
    "softmax": (lambda x: mb.softmax(x=x, axis=1), [X], ("Softmax", [X], {"axis": 1})),
    "gelu": (lambda x: mb.gelu(x=x), [X], ("Gelu", [X], {})),
    "gelu tanh": (lambda x: mb.gelu(x=x, mode="TANH_APPROXIMATION"), [X], ("Gelu", [X], {"approximate": "tanh"})),
    "elu": (lambda x: mb.elu(x=x, alpha=np.float32(0.7)), [X], ("Elu", [X], {"alpha": 0.7})),
    "leaky_relu": (lambda x: mb.leaky_relu(x=x, alpha=np.float32(0.2)), [X], ("LeakyRelu", [X], {"alpha": 0.2})),
    "prelu": (lambda x: mb.prelu(x=x, alpha=X[0, :, 0, 0]), [X], ("PRelu", [X, X[0, :, 0, 0].reshape(6, 1, 1)], {})),
    "thresholded_relu": (
        lambda x: mb.thresholded_relu(x=x, alpha=np.float32(0.5)), [X], ("ThresholdedRelu", [X], {"alpha": 0.5}),
    ),
    "sigmoid_hard": (
        lambda x: mb.sigmoid_hard(x=x, alpha=np.float32(0.3), beta=np.float32(0.4)),
        [X], ("HardSigmoid", [X], {"alpha": 0.3, "beta": 0.4}),
    ),
    "reduce_log_sum_exp": (
        lambda x: mb.reduce_log_sum_exp(x=x, axes=[1, -1], keep_dims=True), [X],
        ("ReduceLogSumExp", [X, np.array([1, 3])], {"keepdims": 1}),
    ),
    "reduce_l2_norm": (
        lambda x: mb.reduce_l2_norm(x=x, axes=[1], keep_dims=False), [X],
        ("ReduceL2", [X, np.array([1])], {"keepdims": 0}),
    ),
    "cumsum": (
        lambda x: mb.cumsum(x=x, axis=1, exclusive=True, reverse=True), [X],
        ("CumSum", [X, np.array(1)], {"exclusive": 1, "reverse": 1}),
    ),
    "depth_to_space": (
        lambda x: mb.depth_to_space(x=x, block_size=2), [X[:, :4]], ("DepthToSpace", [X[:, :4]], {"blocksize": 2}),
    ),
    "pixel_shuffle": (
        lambda x: mb.pixel_shuffle(x=x, upscale_factor=2), [X[:, :4]],
        ("DepthToSpace", [X[:, :4]], {"blocksize": 2, "mode": "CRD"}),
    ),
    "space_to_depth": (
        lambda x: mb.space_to_depth(x=x, block_size=2), [X[:, :, :8]],
        ("SpaceToDepth", [X[:, :, :8]], {"blocksize": 2}),
    ),
    "pad reflect": (
        lambda x: mb.pad(x=x, pad=[1, 2, 3, 0], mode="reflect"), [X],
        ("Pad", [X, np.array([0, 0, 1, 3, 0, 0, 2, 0])], {"mode": "reflect"}),
    ),
    "pad replicate": (
        lambda x: mb.pad(x=x, pad=[1, 2, 3, 0], mode="replicate"), [X],
        ("Pad", [X, np.array([0, 0, 1, 3, 0, 0, 2, 0])], {"mode": "edge"}),
    ),
    "pad constant": (
        lambda x: mb.pad(x=x, pad=[1, 2, 3, 0], constant_val=np.float32(2.5)), [X],
        ("Pad", [X, np.array([0, 0, 1, 3, 0, 0, 2, 0]), np.array(2.5, np.float32)], {}),
    ),
    "resize_bilinear unaligned": (
        lambda x: mb.resize_bilinear(x=x, target_size_height=13, target_size_width=5, sampling_mode="UNALIGN_CORNERS"),
        [X], ("Resize", [X, None, None, np.array([2, 6, 13, 5])], {"mode": "linear"}),
    ),
    "resize_bilinear aligned": (
        lambda x: mb.resize_bilinear(x=x, target_size_height=13, target_size_width=5,
                                     sampling_mode="STRICT_ALIGN_CORNERS"),
        [X], ("Resize", [X, None, None, np.array([2, 6, 13, 5])],
              {"mode": "linear", "coordinate_transformation_mode": "align_corners"}),
    ),
    "resize_bilinear": (
        lambda x: mb.resize_bilinear(x=x, target_size_height=13, target_size_width=5),
        [X], ("Resize", [X, None, None, np.array([2, 6, 13, 5])],
              {"mode": "linear", "coordinate_transformation_mode": "asymmetric"}),
    ),
    "resize_nearest_neighbor": (
        lambda x: mb.resize_nearest_neighbor(x=x, target_size_height=13, target_size_width=5),
        [X], ("Resize", [X, None, None, np.array([2, 6, 13, 5])],
              {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}),
    ),
    "upsample_bilinear": (
        lambda x: mb.upsample_bilinear(x=x, scale_factor_height=2, scale_factor_width=3, align_corners=False),
        [X], ("Resize", [X, None, np.array([1, 1, 2, 3], np.float32)], {"mode": "linear"}),
    ),
    "gather_nd": (
        lambda x: mb.gather_nd(x=x, indices=np.array([[1, 2], [0, 5]], np.int32)), [X],
        ("GatherND", [X, np.array([[1, 2], [0, 5]])], {}),
    ),
    "gather_nd with batches": (
        lambda x: mb.gather_nd(x=x, indices=np.array([[[3, 1]], [[5, 8]]], np.int32), batch_dims=1), [X],
        ("GatherND", [X, np.array([[[3, 1]], [[5, 8]]])], {"batch_dims": 1}),
    ),
    "gather_along_axis": (
        lambda x: mb.gather_along_axis(x=x, indices=np.array([[2, 0, 1, 1, 0]], np.int32), axis=0), [SMALL],
        ("GatherElements", [SMALL, np.array([[2, 0, 1, 1, 0]])], {"axis": 0}),
    ),
    "scatter_nd": (
        lambda x: mb.scatter_nd(data=x, indices=np.array([[1], [1]], np.int32), updates=SMALL[:2], mode="add"), [SMALL],
        ("ScatterND", [SMALL, np.array([[1], [1]]), SMALL[:2]], {"reduction": "add"}),
    ),
    "scatter_along_axis": (
        lambda x: mb.scatter_along_axis(data=x, indices=np.array([[2, 0, 1, 1, 0]], np.int32), updates=SMALL[:1],
                                        axis=0, mode="max"),
        [SMALL], ("ScatterElements", [SMALL, np.array([[2, 0, 1, 1, 0]]), SMALL[:1]], {"axis": 0, "reduction": "max"}),
    ),
    "one_hot": (
        lambda x: mb.one_hot(indices=mb.cast(x=x, dtype="int32"), one_hot_vector_size=4, axis=0,
                             on_value=np.float32(2), off_value=np.float32(-1)),
        [np.array([[0, 3], [2, 1]], np.float32)],
        ("OneHot", [np.array([[0, 3], [2, 1]]), np.array(4), np.array([-1, 2], np.float32)], {"axis": 0}),
    ),
    "reverse_sequence": (
        lambda x: mb.reverse_sequence(x=x, lengths=np.array([2, 5, 0], np.int32), seq_axis=1, batch_axis=0), [SMALL],
        ("ReverseSequence", [SMALL, np.array([2, 5, 0])], {"time_axis": 1, "batch_axis": 0}),
    ),
    "pow": (lambda x: mb.pow(x=x, y=np.float32(1.5)), [POSITIVE], ("Pow", [POSITIVE, np.array(1.5, np.float32)], {})),
    "mod": (
        lambda x: mb.mod(x=x, y=np.array(3, np.int32)), [np.arange(-5, 6, dtype=np.int32)],
        ("Mod", [np.arange(-5, 6, dtype=np.int32), np.array(3, np.int32)], {}),
    ),
}  # fmt: skip

for _name in ("acos", "asin", "atan", "atanh", "ceil", "cos", "cosh", "erf", "exp", "floor", "sin", "sinh", "tan",
              "tanh", "abs", "round", "sign", "relu", "sigmoid", "softplus", "softsign"):  # fmt: skip
    _x = np.linspace(-0.99, 0.99, 41, dtype=np.float32) * (1 if _name in ("acos", "asin", "atanh") else 3)
    CASES[_name] = (lambda x, n=_name: getattr(mb, n)(x=x), [_x], (_name.capitalize(), [_x], {}))
for _name, _kind in {"reduce_max": "ReduceMax", "reduce_min": "ReduceMin", "reduce_sum": "ReduceSum",
                     "reduce_mean": "ReduceMean", "reduce_prod": "ReduceProd", "reduce_l1_norm": "ReduceL1",
                     "reduce_sum_square": "ReduceSumSquare"}.items():  # fmt: skip
    CASES[_name] = (
        lambda x, n=_name: getattr(mb, n)(x=x, axes=[2, 0], keep_dims=True), [X],
        (_kind, [X, np.array([2, 0])], {"keepdims": 1}),
    )  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_as_onnxruntime(name: str) -> None:
    build, inputs, (kind, given, attributes) = CASES[name]
    made = computed(build, dict(zip(("x", "y"), inputs, strict=False)))[0]
    expected = ort(kind, given, **attributes)[0]
    assert made.shape == expected.shape
    np.testing.assert_allclose(made, expected, rtol=2e-5, atol=2e-5 * max(1, float(np.abs(expected).max())))
