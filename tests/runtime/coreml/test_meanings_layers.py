"""Recurrences, resampling and attention against what onnxruntime makes of ONNX's operators of the same meaning."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from coreml_packages import computed, mb
from one_operator import ort

Array = np.ndarray[Any, Any]

RNG = np.random.default_rng(0)


def floats(*shape: int) -> Array:
    return RNG.standard_normal(shape).astype(np.float32)


X = floats(2, 6, 9, 8)


@pytest.mark.parametrize("kind", ["LSTM", "GRU", "RNN"])
@pytest.mark.parametrize("direction", ["forward", "reverse"])
def test_recurrence(kind: str, direction: str) -> None:
    """ONNX's gates are in another order (LSTM iofc, GRU zrh) and its outputs of `reverse` in the order of time."""
    gates, hidden, features, time = {"LSTM": 4, "GRU": 3, "RNN": 1}[kind], 5, 4, 6
    w, r = floats(gates, hidden, features), floats(gates, hidden, hidden)
    b = floats(gates, hidden)
    x, h, c = floats(time, 2, features), floats(2, hidden), floats(2, hidden)
    order = {"LSTM": (0, 2, 1, 3), "GRU": (1, 2, 0), "RNN": (0,)}[kind]  # ours among ONNX's
    states = {"initial_h": h, **({"initial_c": c} if kind == "LSTM" else {})}

    def build(x: Any, **states: Any) -> Any:
        flat = [a[list(order)].reshape(gates * hidden, -1) for a in (w, r, b)]
        return getattr(mb, kind.lower())(
            x=x, weight_ih=flat[0], weight_hh=flat[1], bias=flat[2][:, 0], direction=direction, output_sequence=True,
            **states,
        )  # fmt: skip

    given = [x, w.reshape(1, -1, features), r.reshape(1, -1, hidden), np.concatenate([b.ravel(), 0 * b.ravel()])[None],
             None, h[None], *([c[None]] if kind == "LSTM" else [])]  # fmt: skip
    expected = ort(kind, given, 2, hidden_size=hidden, direction=direction)
    sequence, last, *_ = computed(build, {"x": x, **states})
    steps = expected[0][:, 0]
    np.testing.assert_allclose(sequence, steps[::-1] if direction == "reverse" else steps, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(last, expected[1][0], rtol=1e-5, atol=1e-5)


def test_a_bidirectional_lstm() -> None:
    hidden, features, time = 5, 4, 6
    w, r, b = floats(2, 4, hidden, features), floats(2, 4, hidden, hidden), floats(2, 4, hidden)
    x, h, c = floats(time, 2, features), floats(2, 2, hidden), floats(2, 2, hidden)
    order = [0, 2, 1, 3]

    def build(x: Any, initial_h: Any, initial_c: Any) -> Any:
        forth, back = ([a[d][order].reshape(4 * hidden, -1) for a in (w, r, b)] for d in (0, 1))
        return mb.lstm(
            x=x, initial_h=initial_h, initial_c=initial_c, weight_ih=forth[0], weight_hh=forth[1], bias=forth[2][:, 0],
            weight_ih_back=back[0], weight_hh_back=back[1], bias_back=back[2][:, 0], direction="bidirectional",
            output_sequence=True,
        )  # fmt: skip

    flat = np.concatenate([b.reshape(2, -1), np.zeros((2, 4 * hidden), np.float32)], 1)
    given = [x, w.reshape(2, -1, features), r.reshape(2, -1, hidden), flat, None, h, c]
    expected = ort("LSTM", given, 3, hidden_size=hidden, direction="bidirectional")
    made = computed(build, {"x": x, "initial_h": np.concatenate(list(h), 1), "initial_c": np.concatenate(list(c), 1)})
    np.testing.assert_allclose(made[0], np.concatenate([expected[0][:, 0], expected[0][:, 1]], 2), rtol=1e-5, atol=1e-5)
    for one, two in zip(made[1:], expected[1:], strict=True):
        np.testing.assert_allclose(one, np.concatenate(list(two), 1), rtol=1e-5, atol=1e-5)


PADDINGS = [("constant", "zeros"), ("border", "border"), ("reflection", "reflection")]


@pytest.mark.parametrize("mode", ["bilinear", "nearest"])
@pytest.mark.parametrize(("padding", "theirs"), PADDINGS)
@pytest.mark.parametrize("corners", [True, False])
def test_resample(mode: str, padding: str, theirs: str, corners: bool) -> None:
    if padding == "reflection" and not corners:
        padding = "symmetric"  # what reflects at the edges of pixels
    grid = (floats(2, 5, 4, 2) * 0.9).astype(np.float32)
    made = computed(
        lambda x: mb.resample(x=x, coordinates=grid, sampling_mode=mode, padding_mode=padding,
                              padding_value=np.float32(0), coordinates_mode="normalized_minus_one_to_one",
                              align_corners=corners),
        {"x": X},
    )[0]  # fmt: skip
    expected = ort("GridSample", [X, grid], mode="linear" if mode == "bilinear" else mode, padding_mode=theirs,
                   align_corners=int(corners))[0]  # fmt: skip
    np.testing.assert_allclose(made, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("masked", [False, True])
def test_attention(masked: bool) -> None:
    q, k, v = floats(2, 3, 5, 8), floats(2, 3, 7, 8), floats(2, 3, 7, 4)
    mask = RNG.random((5, 7)) < 0.6
    mask[:, 0] = True
    made = computed(
        lambda query, key, value: mb.scaled_dot_product_attention(
            query=query, key=key, value=value, **({"attn_mask": mask} if masked else {})
        ),
        {"query": q, "key": k, "value": v},
    )[0]
    scores = ort("MatMul", [q, k.transpose(0, 1, 3, 2)])[0] / np.sqrt(np.float32(8))
    if masked:
        scores = np.where(mask, scores, np.float32(-1e30))
    expected = ort("MatMul", [ort("Softmax", [scores])[0], v])[0]
    np.testing.assert_allclose(made, expected, rtol=1e-5, atol=1e-5)
