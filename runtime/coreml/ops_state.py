"""States, which outlive a call, and lists, which live in loops."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from edgec.runtime.coreml.call import Call, Item, ListValue, StateCell, room
from edgec.runtime.coreml.wire import Array


def _cell(call: Call) -> StateCell:
    item = call.operand("input").item
    if not isinstance(item, StateCell):
        raise ValueError("its input is no state")
    return item


def _read_state(call: Call) -> Array:
    return _cell(call).array.copy()


def _write_state(call: Call) -> tuple[Item, ...]:
    """No result: the state holds the data from here on."""
    cell, data = _cell(call), call.array("data")
    if data.shape != cell.array.shape or data.dtype != cell.array.dtype:
        raise ValueError(f"{data.dtype}{list(data.shape)} is written to {cell.array.dtype}{list(cell.array.shape)}")
    cell.array = data.copy()
    return ()


def _list(call: Call) -> ListValue:
    item = call.operand("ls").item
    if not isinstance(item, ListValue):
        raise ValueError("'ls' is no list")
    return item


def _make_list(call: Call) -> ListValue:
    count = call.integer("init_length", 1)
    room([count])
    return ListValue((None,) * count, call.flag("dynamic_length", True))


def _written(found: ListValue, indices: list[int], values: list[Array]) -> ListValue:
    items = list(found.items)
    for index, value in zip(indices, values, strict=True):
        if index < 0 or (index >= len(items) and not found.dynamic):
            raise ValueError(f"the index {index} is outside of a list of {len(items)}")
        room([index + 1])
        items += [None] * (index + 1 - len(items))
        items[index] = value
    return ListValue(tuple(items), found.dynamic)


def _taken(found: ListValue, index: int) -> Array:
    item = found.items[index] if 0 <= index < len(found.items) else None
    if item is None:
        raise ValueError(f"the element {index} of a list of {len(found.items)} was never written")
    return item


MEANINGS: dict[str, Callable[[Call], Item | tuple[Item, ...]]] = {
    "read_state": _read_state,
    "write_state": _write_state,
    "make_list": _make_list,
    "list_length": lambda call: np.array(len(_list(call).items), np.int32),
    "list_write": lambda call: _written(_list(call), [call.integer("index")], [call.array("value")]),
    "list_scatter": lambda call: _written(_list(call), call.integers("indices"), list(call.array("value"))),
    "list_read": lambda call: _taken(_list(call), call.integer("index")),
    "list_gather": lambda call: np.stack([_taken(_list(call), i) for i in call.integers("indices")]),
}
