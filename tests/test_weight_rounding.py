"""Rounding of weights: less error of the products than the nearest, on rows that were seen and on others."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest

from edgec.weight_rounding import (
    TOP,
    adaround,
    choose_scale,
    compensated,
    corrected_bias,
    damping_for,
    gptq,
    output_error,
    round_nearest,
)

Array = np.ndarray[Any, Any]


class Layer:
    """Rows like those of a network: few directions, an activation, some noise."""

    def __init__(self, n: int, k: int, rows: int, rank: int, seed: int = 0) -> None:
        self._rng = np.random.default_rng(seed)
        self._mix = self._rng.standard_normal((rank, k)) / rank**0.5
        self.w = self._rng.standard_normal((n, k)) * 0.05
        self.scale = choose_scale(self.w)
        self.x, self.other = self.rows(rows), self.rows(4 * k)
        self.damping = damping_for(rows, k)

    def rows(self, count: int) -> Array:
        noise = 0.3 * self._rng.standard_normal((count, self.w.shape[1]))
        return np.maximum(self._rng.standard_normal((count, len(self._mix))) @ self._mix + noise, 0.0)

    @property
    def hessian(self) -> Array:
        return self.x.T @ self.x / len(self.x)

    def error(self, stored: Array, x: Array) -> float:
        """Of the products themselves."""
        assert stored.dtype == np.int8
        assert np.abs(stored.astype(int)).max() <= TOP
        return float(np.mean((x @ (stored * self.scale[:, None].astype(np.float64)).T - x @ self.w.T) ** 2))


@pytest.mark.parametrize(
    ("n", "k", "rows", "rank"), [(32, 144, 3000, 15), (8, 70, 300, 10), (1, 9, 50, 3), (64, 260, 200, 30)]
)
def test_less_error_than_the_nearest(n: int, k: int, rows: int, rank: int) -> None:
    layer = Layer(n, k, rows, rank)
    h, near = layer.hessian, round_nearest(layer.w, layer.scale)
    second = gptq(layer.w, layer.scale, h, layer.damping)
    chosen = adaround(layer.w, layer.scale, h, damping=layer.damping)
    both = adaround(layer.w, layer.scale, h, second, layer.damping)
    seen = [layer.error(q, layer.x) for q in (near, second, chosen, both)]
    other = [layer.error(q, layer.other) for q in (near, second, chosen, both)]
    if k == 9:
        assert max(seen[1:]) <= seen[0] * 1.001, "nothing can be gained, and nothing is lost"
        return
    assert max(seen[1:]) < seen[0] / 2
    assert max(other[1:]) < other[0] / 1.5
    assert seen[3] <= seen[1] * 1.001
    np.testing.assert_array_equal(second, gptq(layer.w, layer.scale, h, layer.damping))


def test_adaround_is_up_or_down_and_never_worse() -> None:
    layer = Layer(16, 100, 1000, 12)
    h, steps = layer.hessian, layer.w / layer.scale[:, None].astype(np.float64)
    stored = adaround(layer.w, layer.scale, h)
    inside = np.abs(steps) < TOP
    assert np.all(np.abs(stored - steps)[inside] < 1.0)
    assert 0.1 < np.mean(stored != round_nearest(layer.w, layer.scale)) < 0.6
    before = output_error(layer.w, round_nearest(layer.w, layer.scale), layer.scale, h)
    assert np.all(output_error(layer.w, adaround(layer.w, layer.scale, h, damping=0.0), layer.scale, h) <= before)


def test_groups_of_four_bits_have_steps_of_their_own() -> None:
    layer = Layer(16, 128, 2000, 20)
    parts = np.repeat(choose_scale(layer.w.reshape(-1, 32), top=7).reshape(16, 4), 32, axis=1)
    # what the first group's columns are multiplied with is small, so that its steps are large
    steps = parts * np.where(np.arange(128) < 32, 1.0, 0.3)
    w = layer.w * np.where(np.arange(128) < 32, 1.0, 0.3)
    near, chosen = round_nearest(w, steps, 7), adaround(w, steps, layer.hessian, damping=layer.damping, top=7)
    assert np.abs(chosen).max() == 7
    assert np.all(np.abs(chosen - w / steps)[np.abs(w / steps) < 7] < 1.0)
    before, after = (output_error(w, stored, steps, layer.hessian) for stored in (near, chosen))
    assert np.all(after < before)
    assert after.sum() < before.sum() / 2.5


def test_two_columns_by_hand() -> None:
    """Equal columns count by their sum: .4 + .4 is .8, nearer to 1 than to the 0 + 0 that each rounds to."""
    w, scale, h = np.array([[0.4, 0.4]]), np.ones(1), np.ones((2, 2))
    assert round_nearest(w, scale).tolist() == [[0, 0]]
    assert sorted(gptq(w, scale, h)[0].tolist()) == [0, 1]
    assert sorted(adaround(w, scale, h)[0].tolist()) == [0, 1]
    assert output_error(w, np.array([[1, 0]], np.int8), scale, h) == pytest.approx([0.04])
    # with steps of 1 and 4, the sum 1.7 is nearest to 1 + 0; both weights alone are nearest to 0
    w, steps = np.array([[0.1, 1.6]]), np.array([[1.0, 4.0]])
    assert adaround(w, steps, h, damping=1e-9)[0].tolist() == [1, 0]


def test_columns_that_no_row_shows() -> None:
    layer = Layer(8, 40, 500, 6)
    layer.x[:, 10:20] = 0.0
    near = round_nearest(layer.w, layer.scale)
    for stored in (gptq(layer.w, layer.scale, layer.hessian), adaround(layer.w, layer.scale, layer.hessian)):
        np.testing.assert_array_equal(stored[:, 10:20], near[:, 10:20])
    for stored in (gptq(layer.w, layer.scale, np.zeros((40, 40))), adaround(layer.w, layer.scale, np.zeros((40, 40)))):
        np.testing.assert_array_equal(stored, near)


def test_scales_clamp_a_few_for_the_others() -> None:
    rng = np.random.default_rng(0)
    w = rng.laplace(size=(3, 20_000))  # long tails
    w[2] = 0.0
    scale = choose_scale(w)
    full = np.abs(w).max(axis=1) / TOP

    def error(s: Array) -> Array:
        return np.mean((round_nearest(w, s) * s[:, None] - w) ** 2, axis=1)

    assert scale.dtype == np.float32
    assert np.all(scale[:2] < 0.95 * full[:2])
    assert np.all(error(scale)[:2] < 0.95 * error(np.maximum(full, 1e-9))[:2])
    assert scale[2] == np.float32(1 / TOP)
    assert not round_nearest(w, scale)[2].any()
    counts = np.where(np.abs(w[0]) == np.abs(w[0]).max(), 1e6, 1.0)
    assert choose_scale(w, counts)[0] == pytest.approx(full[0], rel=0.02), "a weight that counts is not clamped"


def test_a_corrected_bias_gives_the_mean() -> None:
    layer = Layer(12, 60, 800, 8)
    stored = round_nearest(layer.w, layer.scale)
    narrow = stored * layer.scale[:, None].astype(np.float64)
    bias = np.linspace(-1.0, 1.0, 12).astype(np.float32)
    made = corrected_bias(bias, layer.w, stored, layer.scale, layer.x.mean(axis=0))
    assert made.dtype == np.float32
    wanted = (layer.x @ layer.w.T).mean(axis=0)
    np.testing.assert_allclose((layer.x @ narrow.T + made).mean(axis=0), wanted + bias, rtol=1e-5, atol=1e-6)
    # rows that are not what they should be, as behind a rounded layer
    met = layer.x + 0.1
    made = corrected_bias(None, layer.w, stored, layer.scale, met.mean(axis=0), layer.x.mean(axis=0))
    np.testing.assert_allclose((met @ narrow.T + made).mean(axis=0), wanted, rtol=1e-5, atol=1e-6)


def test_weights_make_up_for_rows_that_are_wrong() -> None:
    layer = Layer(8, 50, 4000, 10)
    rng = np.random.default_rng(1)
    met = np.minimum(layer.x, 1.5) + 0.02 * rng.standard_normal(layer.x.shape)  # clamped and rounded
    wanted, h = layer.x @ layer.w.T, met.T @ met / len(met)
    drift = (wanted - met @ layer.w.T).T @ met / len(met)
    w = compensated(layer.w, h, drift, 1e-6)
    before = np.mean((met @ layer.w.T - wanted) ** 2)
    assert np.mean((met @ w.T - wanted) ** 2) < before / 1.4
    np.testing.assert_allclose(w, np.linalg.lstsq(met, wanted, rcond=None)[0].T, rtol=1e-2, atol=1e-4)


def test_a_large_layer_takes_seconds() -> None:
    layer = Layer(128, 1152, 1500, 100)
    h = layer.hessian
    start = time.process_time()
    stored = adaround(layer.w, layer.scale, h, gptq(layer.w, layer.scale, h, layer.damping), layer.damping)
    assert time.process_time() - start < 20.0
    assert layer.error(stored, layer.other) < layer.error(round_nearest(layer.w, layer.scale), layer.other) / 2


def test_gptq_with_scales_of_groups() -> None:
    """Four bits in groups of columns: what rounding to the nearest leaves is less on the rows that count."""
    rng = np.random.default_rng(4)
    mixing = rng.standard_normal((64, 64)) * (rng.random((64, 64)) < 0.2)
    rows = rng.standard_normal((800, 64)) @ mixing
    hessian = rows.T @ rows / len(rows)
    w = rng.standard_normal((12, 64))
    scale = np.repeat(choose_scale(w.reshape(24, 32), top=7).reshape(12, 2), 32, 1)
    near, rounded = round_nearest(w, scale, 7), gptq(w, scale, hessian, top=7)
    assert np.abs(rounded).max() == 7
    errors = [output_error(w, stored, scale, hessian).sum() for stored in (near, rounded)]
    assert errors[1] < 0.6 * errors[0]


def test_groups_together_are_rounded_as_each_alone() -> None:
    """Each has its own order of columns, and sweeps until it is settled."""
    layers = [Layer(3, 70, 200, 10, seed) for seed in range(3)]
    w, h = np.stack([one.w for one in layers]), np.stack([one.hessian for one in layers])
    steps = np.stack([one.scale for one in layers])[..., None]
    start = gptq(w, steps, h)
    found = adaround(w, steps, h, start)
    for i, one in enumerate(layers):
        alone = gptq(one.w, one.scale, one.hessian)
        np.testing.assert_array_equal(start[i], alone)
        np.testing.assert_array_equal(found[i], adaround(one.w, one.scale, one.hessian, alone))
