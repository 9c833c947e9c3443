"""What weights can make up for is told from chance by the other half of the samples."""

from __future__ import annotations

from typing import Any

import numpy as np

from edgec.met_rows import MetRows, made_up_for

Array = np.ndarray[Any, Any]
N, K = 4, 24


def halves(rows: int, asked: Array, chance: float, seed: int = 0) -> list[MetRows]:
    """Sums lack what weights `asked` [N, K] would make of the rows, and something that nothing explains."""
    rng = np.random.default_rng(seed)
    made = [MetRows(1, N, K) for _ in range(2)]
    for half in made:
        x = 3.0 + rng.standard_normal((1, rows, K))
        half.add(x, (x @ asked.T + chance * rng.standard_normal((1, rows, N))).astype(np.float32))
    return made


def moved(w: Array, made: list[MetRows]) -> Array:
    return made_up_for(w[None], made, made[0].together(made[1]))[0]


def test_what_goes_with_the_rows_is_made_up_for() -> None:
    rng = np.random.default_rng(1)
    w, asked = rng.standard_normal((N, K)), rng.standard_normal((N, K))
    np.testing.assert_allclose(moved(w, halves(2000, asked, 0.0)), w + asked, atol=0.15)


def test_chance_moves_no_weight() -> None:
    w = np.ones((N, K))
    assert np.array_equal(moved(w, halves(40, np.zeros((N, K)), 1.0)), w)


def test_a_little_among_much_chance_is_made_up_for_in_part() -> None:
    """No further from what was asked for than weights that stay, where the least damping would be."""
    asked = np.full((N, K), 0.3)
    found = moved(np.zeros((N, K)), halves(60, asked, 1.5))
    assert 0.2 < np.sum(found * asked) / np.sum(asked**2) < 1.1
    assert np.sum((found - asked) ** 2) < np.sum(asked**2)


def test_halves_together_are_all_rows() -> None:
    one, other = halves(30, np.ones((N, K)), 0.5)
    rng, every = np.random.default_rng(0), MetRows(1, N, K)
    for _ in range(2):
        x = 3.0 + rng.standard_normal((1, 30, K))
        every.add(x, (x @ np.ones((K, N)) + 0.5 * rng.standard_normal((1, 30, N))).astype(np.float32))
    both = one.together(other)
    assert both.rows == 60
    np.testing.assert_allclose(both.hessian, every.hessian, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(both.drift, every.drift, rtol=1e-4, atol=1e-4)


def test_each_group_is_made_up_for_on_its_own() -> None:
    rng = np.random.default_rng(2)
    asked = np.stack([np.full((N, K), 0.5), np.zeros((N, K))])
    w = rng.standard_normal((2, N, K))
    made = [MetRows(2, N, K) for _ in range(2)]
    for half in made:
        x = 3.0 + rng.standard_normal((2, 400, K))
        chance = np.array([0.0, 1.0])[:, None, None] * rng.standard_normal((2, 400, N))
        half.add(x, (x @ asked.transpose(0, 2, 1) + chance).astype(np.float32))
    found = made_up_for(w, made, made[0].together(made[1]))
    np.testing.assert_allclose(found[0], w[0] + 0.5, atol=0.15)
    np.testing.assert_allclose(found[1], w[1], atol=0.01)
