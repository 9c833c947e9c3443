"""Operators that ONNX has not, or not so: against numbers worked out by hand or by arithmetic written out here."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from coreml_packages import A, computed, f32, mb, mil_program, one, types
from coremltools.converters.mil.mil import get_new_symbol

from edgec.runtime.coreml.evaluate import EvaluationError, Evaluator
from edgec.runtime.coreml.package import read_package

Array = np.ndarray[Any, Any]

X = np.random.default_rng(0).standard_normal((1, 2, 4, 4)).astype(np.float32)


@pytest.mark.parametrize(
    ("build", "scalar"),
    [
        (lambda x: mb.clamped_relu(x=x, alpha=f32(0.5), beta=f32(1)), lambda v: min(v if v >= 0 else 0.5 * v, 1)),
        (lambda x: mb.linear_activation(x=x, alpha=f32(2), beta=f32(-1)), lambda v: 2 * v - 1),
        (lambda x: mb.scaled_tanh(x=x, alpha=f32(2), beta=f32(0.5)), lambda v: 2 * math.tanh(0.5 * v)),
        (lambda x: mb.silu(x=x), lambda v: v / (1 + math.exp(-v))),
        (lambda x: mb.gelu(x=x, mode="SIGMOID_APPROXIMATION"), lambda v: v / (1 + math.exp(-1.702 * v))),
        (lambda x: mb.softplus(x=x), lambda v: math.log1p(math.exp(v))),
        (lambda x: mb.relu6(x=mb.mul(x=x, y=f32(4))), lambda v: min(max(4 * v, 0), 6)),
        (lambda x: mb.inverse(x=x, epsilon=f32(0.25)), lambda v: 1 / (v + 0.25)),
        (lambda x: mb.log(x=mb.abs(x=x), epsilon=f32(0.5)), lambda v: math.log(abs(v) + 0.5)),
        (lambda x: mb.rsqrt(x=mb.abs(x=x), epsilon=f32(0.5)), lambda v: 1 / math.sqrt(abs(v) + 0.5)),
        (lambda x: mb.threshold(x=x, alpha=f32(-0.25)), lambda v: max(v, -0.25)),
        (lambda x: mb.clip(x=x, alpha=f32(-0.5), beta=f32(0.75)), lambda v: min(max(v, -0.5), 0.75)),
        (lambda x: mb.exp2(x=x), lambda v: 2**v),
        (lambda x: mb.square(x=x), lambda v: v * v),
        (lambda x: mb.floor_div(x=x, y=f32(0.3)), lambda v: math.floor(np.float32(v) / np.float32(0.3))),
        (lambda x: mb.erf(x=x), math.erf),
    ],
)
def test_functions(build: Any, scalar: Any) -> None:
    x = np.random.default_rng(1).standard_normal(200).astype(np.float32) * 2
    np.testing.assert_allclose(one(build, x), [scalar(float(v)) for v in x], rtol=2e-6, atol=2e-6)


def test_softplus_of_channels() -> None:
    alpha, beta = np.array([1, 2], np.float32), np.array([0.5, 3], np.float32)
    made = one(lambda x: mb.softplus_parametric(x=x, alpha=alpha, beta=beta), X)
    for c in range(2):
        np.testing.assert_allclose(made[0, c], alpha[c] * np.log1p(np.exp(beta[c] * X[0, c])), rtol=1e-5)


def test_maximum_of_nan_follows_the_words() -> None:
    """x > y ? x : y."""
    x = np.array([1, np.nan, 3], np.float32)
    assert one(lambda x: mb.maximum(x=x, y=f32(2)), x).tolist() == [2, 2, 3]
    assert one(lambda x: mb.minimum(x=x, y=f32(2)), x)[[0, 2]].tolist() == [1, 2]


def test_casts() -> None:
    """Towards zero, saturating; not zero is true."""
    x = np.array([1.9, -1.9, 300, -300, 3e9, 0], np.float32)
    assert one(lambda x: mb.cast(x=x, dtype="int32"), x).tolist() == [1, -1, 300, -300, 2**31 - 1, 0]
    assert one(lambda x: mb.cast(x=x, dtype="int8"), x).tolist() == [1, -1, 127, -128, 127, 0]
    assert one(lambda x: mb.cast(x=x, dtype="bool"), x).tolist() == [True] * 5 + [False]


def test_integers_stay_integers() -> None:
    x = np.array([7, -7, 2**31 - 1], np.int32)
    assert one(lambda x: mb.floor_div(x=x, y=np.int32(2)), x).tolist() == [3, -4, 2**30 - 1]
    assert one(lambda x: mb.add(x=x, y=np.int32(1)), x).tolist() == [8, -6, -(2**31)]
    assert one(lambda x: mb.reduce_mean(x=x, axes=[0]), x[:2]).tolist() == 0
    assert one(lambda x: mb.real_div(x=x, y=np.int32(2)), np.array([7, 6, -6, 1], np.int32)).tolist() == [3, 3, -3, 0]
    with pytest.raises(EvaluationError, match=r"real_div.*not documented"):
        one(lambda x: mb.real_div(x=x, y=np.int32(2)), x)


@pytest.mark.parametrize("opset", [5, 6, 7, 8])
def test_negative_indices(opset: int) -> None:
    """From the end until CoreML6, out of bounds from CoreML7 on."""
    indices = np.array([-1, 0], np.int32)
    if opset < 7:
        assert one(lambda x: mb.gather(x=x, indices=indices, axis=0), A, opset).tolist() == A[[-1, 0]].tolist()
        return
    with pytest.raises(EvaluationError, match=r"gather.*index -1 is outside of an axis of 3"):
        one(lambda x: mb.gather(x=x, indices=indices, axis=0), A, opset)


def test_gather_with_batches() -> None:
    indices = np.array([[3, 0], [1, 1], [2, 3]], np.int32)
    made = one(lambda x: mb.gather(x=x, indices=indices, axis=1, batch_dims=1))
    assert made.tolist() == [[3, 0], [5, 5], [10, 11]]
    assert one(lambda x: mb.gather(x=x, indices=np.int32(2), axis=1)).tolist() == [2, 6, 10]
    x = np.arange(2 * 3 * 4 * 5 * 2, dtype=np.float32).reshape(2, 3, 4, 5, 2)
    chosen = np.array([[[4, 0, 1]], [[2, 2, 3]]], np.int32)
    made = one(lambda x: mb.gather(x=x, indices=chosen, axis=3, batch_dims=1), x)
    wanted = [np.take(part, rows, 2) for part, rows in zip(x, chosen, strict=True)]
    np.testing.assert_array_equal(made, wanted)


@pytest.mark.parametrize(
    ("mode", "wanted"),
    [("add", [[9, 11, 13], [9, 11, 13]]), ("update", [[8, 9, 10], [5, 6, 7]]), ("mul", [[8, 18, 30], [20, 30, 42]]),
     ("sub", [[-7, -7, -7], [-1, -1, -1]]), ("max", [[8, 9, 10], [5, 6, 7]]), ("min", [[1, 2, 3], [4, 5, 6]]),
     ("div", [[1 / 8, 2 / 9, 3 / 10], [4 / 5, 5 / 6, 6 / 7]])],
)  # fmt: skip
def test_scatter(mode: str, wanted: list[list[float]]) -> None:
    """The documentation's example, and its other modes."""
    data = np.array([[1, 2, 3], [4, 5, 6]], np.float32)
    updates = np.array([[5, 6, 7], [8, 9, 10]], np.float32)
    indices = np.array([1, 0], np.int32)
    made = one(lambda x: mb.scatter(data=x, indices=indices, updates=updates, axis=0, mode=mode), data)
    np.testing.assert_allclose(made, wanted, rtol=1e-6)


def test_scatter_along_another_axis_adds_up() -> None:
    updates = np.ones((3, 3), np.float32)
    made = one(lambda x: mb.scatter(data=x, indices=np.array([2, 2, 0], np.int32), updates=updates, axis=1, mode="add"))
    assert (made - A).tolist() == [[1, 0, 2, 0]] * 3


@pytest.mark.parametrize(
    ("build", "said"),
    [
        (
            lambda x, i, v: mb.gather_along_axis(x=x, indices=i, axis=1),
            r"indices \[1, 4\] may differ from \[3, 4\] in axis 1",
        ),
        (
            lambda x, i, v: mb.pad(x=v, pad=[2, 0, 0, 0], mode="replicate"),
            r"replicates more elements than x \[1, 4\] has",
        ),
    ],
)
def test_sizes_known_at_run_time(build: Any, said: str, tmp_path: Path) -> None:
    """What coremltools refuses where it knows the sizes: numpy would broadcast, or go on."""
    given = {
        "x": mb.placeholder(shape=(3, 4)),
        "i": mb.placeholder(shape=(get_new_symbol(), 4), dtype=types.int32),
        "v": mb.placeholder(shape=(get_new_symbol(), 4)),
    }
    path = mil_program(build, given, 8, tmp_path / "x.mlpackage")
    with pytest.raises(EvaluationError, match=said):
        Evaluator(read_package(path)).run({"x": A, "i": np.zeros((1, 4), np.int32), "v": A[:1]})


def test_sorting() -> None:
    """Descending unless told; of equal ones the first index."""
    x = np.array([[3, 1, 3, 2]], np.float32)
    assert one(lambda x: mb.argsort(x=x, axis=-1), x).tolist() == [[0, 2, 3, 1]]
    assert one(lambda x: mb.argsort(x=x, axis=-1, ascending=True), x).tolist() == [[1, 3, 0, 2]]
    values, indices = computed(lambda x: mb.topk(x=x, k=3, axis=1), {"x": x}, 8)
    assert (values.tolist(), indices.tolist()) == ([[3, 3, 2]], [[0, 2, 3]])
    values, indices = computed(
        lambda x: mb.topk(x=x, k=2, axis=1, ascending=True, output_indices_dtype="uint16"), {"x": x}
    )
    assert (values.tolist(), indices.tolist(), indices.dtype) == ([[1, 2]], [[1, 3]], np.uint16)
    assert len(computed(lambda x: mb.topk(x=x, k=2, axis=1, return_indices=False), {"x": x}, 7)) == 1
    assert one(lambda x: mb.reduce_argmax(x=x, axis=1, keep_dims=True), A).tolist() == [[3], [3], [3]]
    assert one(lambda x: mb.reduce_argmin(x=x, axis=0, output_dtype="uint16"), A).dtype == np.uint16


def test_bands() -> None:
    """Kept where n - m and m - n are within the bounds; negative bounds keep all."""
    ones = np.ones((4, 4), np.float32)
    assert one(lambda x: mb.band_part(x=x, lower=0, upper=-1), ones).tolist() == np.triu(ones).tolist()
    assert (
        one(lambda x: mb.band_part(x=x, lower=1, upper=0), ones).tolist()
        == (np.tril(ones) - np.tril(ones, -2)).tolist()
    )


def test_what_makes_tensors() -> None:
    assert one(lambda x: mb.non_zero(x=x), np.array([[0, 2], [3, 0]], np.float32)).tolist() == [[0, 1], [1, 0]]
    zero = np.zeros(1, np.float32)
    made = one(lambda x: mb.range_1d(start=mb.squeeze(x=x), end=f32(2.1), step=f32(0.5)), zero)
    assert made.tolist() == [0, 0.5, 1, 1.5, 2]
    assert one(lambda x: mb.fill(shape=x, value=f32(2.5)), np.array([1, 2], np.int32)).tolist() == [[2.5, 2.5]]
    assert one(lambda x: mb.fill_like(ref_tensor=x, value=np.int32(3))).dtype == np.int32
    assert one(lambda x: mb.shape(x=x)).tolist() == [3, 4]
    assert one(lambda x: mb.tile(x=x, reps=[2, 1])).tolist() == np.concatenate([A, A]).tolist()


def test_shapes() -> None:
    """0 in a shape: the same place until CoreML6, counted from the end from CoreML7 on; squeeze leaves other axes."""
    assert one(lambda x: mb.reshape(x=x, shape=[0, 2, -1]), A.reshape(3, 2, 2), 6).shape == (3, 2, 2)
    x = np.zeros((2, 50), np.float32)
    assert one(lambda x: mb.reshape(x=x, shape=[1, 0, -1, 0]), x, 7).shape == (1, 1, 2, 50)
    assert one(lambda x: mb.squeeze(x=x, axes=[0]), A[:1]).shape == (4,)
    assert one(lambda x: mb.expand_dims(x=x, axes=[0, -1])).shape == (1, 3, 4, 1)
    assert one(lambda x: mb.flatten2d(x=x, axis=-1), X).shape == (8, 4)
    made = computed(
        lambda x, y: mb.reshape_like(
            x=x, ref_tensors=(y, x), begins=(0, 1), ends=(2, 0), end_masks=(False, True)
        ),
        {"x": A, "y": np.zeros((1, 3), np.float32)},
    )[0]  # fmt: skip
    assert made.shape == (1, 3, 4)


def test_slices() -> None:
    made = one(lambda x: mb.slice_by_index(x=x, begin=[2, 3], end=[0, 1], stride=[-1, -2], end_mask=[True, False]))
    assert made.tolist() == A[2::-1, 3:1:-2].tolist()
    made = one(lambda x: mb.slice_by_index(x=x, begin=[1, -3], end=[0, -1], squeeze_mask=[True, False]))
    assert made.tolist() == [5, 6]
    assert one(lambda x: mb.slice_by_size(x=x, begin=[1, 1], size=[-1, 2])).tolist() == A[1:, 1:3].tolist()
    update = np.full((2, 2), 9, np.float32)
    made = one(lambda x: mb.slice_update(x=x, update=update, begin=[0, 0], end=[3, 4], stride=[2, 2]))
    assert made.tolist() == [[9, 1, 9, 3], [4, 5, 6, 7], [9, 9, 9, 11]]
    parts = computed(lambda x: mb.split(x=x, split_sizes=[1, 3], axis=1), {"x": A})
    assert [p.shape for p in parts] == [(3, 1), (3, 3)]


def test_moves() -> None:
    made = computed(lambda x, y: mb.concat(values=(x, y), axis=0, interleave=True), {"x": A[:2], "y": A[1:]})[0]
    assert made.tolist() == A[[0, 1, 1, 2]].tolist()
    assert one(lambda x: mb.sliding_windows(x=x, axis=1, size=3, stride=1)).tolist() == [
        [r[:3], r[1:]] for r in A.tolist()
    ]
    assert one(lambda x: mb.reverse(x=x, axes=[1])).tolist() == A[:, ::-1].tolist()
    made = one(lambda x: mb.pixel_unshuffle(x=mb.pixel_shuffle(x=x, upscale_factor=2), downscale_factor=np.uint32(2)),
               X.reshape(1, 8, 2, 2))  # fmt: skip
    np.testing.assert_array_equal(made, X.reshape(1, 8, 2, 2))
    batches = one(lambda x: mb.space_to_batch(x=x, block_shape=[2, 2], paddings=[[0, 0], [0, 0]]), X)
    for i in range(4):  # a batch for each place in a block
        np.testing.assert_array_equal(batches[i], X[0, :, i // 2 :: 2, i % 2 :: 2])
    back = one(lambda x: mb.batch_to_space(x=x, block_shape=[2, 2], crops=[[0, 1], [1, 0]]), batches)
    np.testing.assert_array_equal(back, X[:, :, :3, 1:])
    made = one(lambda x: mb.crop(x=x, crop_height=[1, 0], crop_width=[0, 2]), X)
    np.testing.assert_array_equal(made, X[:, :, 1:, :2])


def test_l2_norm() -> None:
    made = one(lambda x: mb.l2_norm(x=x, epsilon=f32(0.5)), X)
    np.testing.assert_allclose(made, X / math.sqrt(float((X.astype(np.float64) ** 2).sum()) + 0.5), rtol=1e-5)


def test_recurrence_resets_before_or_after() -> None:
    """One step of a GRU of one unit, worked out: o = tanh(x + R (r h) + b), or with the gate behind the product."""
    x, h = np.full((1, 1, 1), 0.3, np.float32), np.full((1, 1), 0.8, np.float32)
    wi, wh, b = np.array([[1], [2], [-1]], np.float32), np.array([[0.5], [1.5], [0.7]], np.float32), [0.1, 0.2, 0.3]

    def sigmoid(v: float) -> float:
        return 1 / (1 + math.exp(-v))

    r, z = sigmoid(0.3 + 0.5 * 0.8 + 0.1), sigmoid(-0.3 + 0.7 * 0.8 + 0.3)
    for after in (False, True):
        inner = r * (1.5 * 0.8 + 0.2) if after else 1.5 * (r * 0.8) + 0.2
        wanted = (1 - z) * math.tanh(0.6 + inner) + z * 0.8
        made = computed(
            lambda x, initial_h, a=after: mb.gru(
                x=x, initial_h=initial_h, weight_ih=wi, weight_hh=wh, bias=np.array(b, np.float32), reset_after=a
            ),
            {"x": x, "initial_h": h},
        )  # fmt: skip
        assert float(made[1].item()) == pytest.approx(wanted, rel=1e-5)


def test_random_numbers_are_refused() -> None:
    with pytest.raises(EvaluationError, match=r"random_normal.*its numbers are random"):
        one(lambda x: mb.add(x=x, y=mb.random_normal(shape=[3, 4])))
