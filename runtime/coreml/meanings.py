"""What every operator means, by name: one table of the families' tables."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any

from edgec.runtime.coreml import (
    ops_activation,
    ops_classify,
    ops_constexpr,
    ops_conv,
    ops_elementwise,
    ops_index,
    ops_nms,
    ops_norm,
    ops_pool,
    ops_recurrent,
    ops_reduce,
    ops_resize,
    ops_shape,
    ops_state,
)
from edgec.runtime.coreml.call import Call

Meaning = Callable[[Call], Any]

FAMILIES: tuple[ModuleType, ...] = (
    ops_elementwise, ops_activation, ops_conv, ops_pool, ops_norm, ops_reduce, ops_shape, ops_constexpr,
    ops_index, ops_resize, ops_recurrent, ops_nms, ops_state, ops_classify,
)  # fmt: skip
# why the rest of the operators have none
REFUSED = {
    "random_bernoulli": "its numbers are random",
    "random_categorical": "its numbers are random",
    "random_normal": "its numbers are random",
    "random_uniform": "its numbers are random",
}


def meanings() -> Mapping[str, Meaning]:
    return {name: meaning for family in FAMILIES for name, meaning in family.MEANINGS.items()}
