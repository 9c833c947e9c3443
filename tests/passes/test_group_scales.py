"""Scales of groups as whole multiples of one of their channel."""

from __future__ import annotations

import numpy as np
import pytest

from edgec.passes.group_scales import whole_multiples
from edgec.passes.requant import NotInIntegers


def test_multiples_are_found() -> None:
    times = np.array([[17, 5, 3], [4, 8, 2], [16, 17, 15], [7, 7, 7]])
    base = np.array([0.01, 3e-5, 0.7, 2.0], np.float32)
    found, numbers = whole_multiples((base[:, None] * times).astype(np.float32))
    np.testing.assert_array_equal(numbers, [[17, 5, 3], [2, 4, 1], [16, 17, 15], [1, 1, 1]])
    np.testing.assert_allclose(found[:, None] * numbers, base[:, None] * times, rtol=1e-5)


def test_others_are_refused() -> None:
    with pytest.raises(NotInIntegers, match="GROUP_SCALES"):
        whole_multiples(np.array([[1.0, 18.0]], np.float32))
    with pytest.raises(NotInIntegers, match="GROUP_SCALES"):
        whole_multiples(np.array([[1.0, 2.0], [1.0, np.sqrt(2)]], np.float32))
