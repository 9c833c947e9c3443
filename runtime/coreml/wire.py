"""The protobuf wire format (protobuf.dev, "Encoding"), read from bytes that nobody vouches for.

`Message` holds the fields of one message by number. Lengths, nesting and the number of fields are bounded, so that a
damaged or hostile file gives a PackageError and neither a crash nor much memory.
"""

from __future__ import annotations

import struct
from typing import Any

import numpy as np

from edgec.runtime.errors import RunError

MAX_DEPTH = 100  # protobuf's own limit
MAX_FIELDS = 8_000_000  # of a whole file; a model of 100,000 operators has about 4 million
MAX_AT_ONCE = 1_000_000  # of one message, all in memory: 200 MB; operators of a block are its fields

Array = np.ndarray[Any, Any]


class PackageError(RunError):
    """A package that cannot be read, or whose parts contradict each other. What a file says of itself may be any text:
    the message is one line of what can be printed, and not a long one."""

    def __init__(self, sentence: str) -> None:
        line = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in sentence)
        super().__init__(line if len(line) <= 360 else line[:357] + "…")


class Budget:
    """How many fields of a file may still be read."""

    def __init__(self, what: str) -> None:
        self.what = what
        self.left = MAX_FIELDS

    def error(self, why: str) -> PackageError:
        return PackageError(f"{self.what} is damaged: {why}")


class Message:
    """One message: `fields[number]` are its values in order, integers (varint, fixed) or memoryviews (bytes)."""

    def __init__(self, data: memoryview, budget: Budget, depth: int = 0) -> None:
        if depth > MAX_DEPTH:
            raise budget.error(f"messages are nested more than {MAX_DEPTH} deep")
        self.budget = budget
        self.depth = depth
        self.fields: dict[int, list[int | memoryview]] = {}
        at, least = 0, budget.left - MAX_AT_ONCE
        while at < len(data):
            budget.left -= 1
            if budget.left < least:
                raise budget.error(f"a message has more than {MAX_AT_ONCE:,} fields")
            if budget.left < 0:
                raise budget.error(f"it has more than {MAX_FIELDS:,} fields")
            key, at = _varint(data, at, budget)
            number, wire = key >> 3, key & 7
            if number == 0:
                raise budget.error("a field has the number 0")
            value: int | memoryview
            if wire == 0:
                value, at = _varint(data, at, budget)
            elif wire in (1, 2, 5):
                length = 8 if wire == 1 else 4
                if wire == 2:
                    length, at = _varint(data, at, budget)
                if length > len(data) - at:
                    raise budget.error(f"a field of {length:,} bytes reaches beyond its message")
                value = data[at : at + length]
                at += length
            else:
                raise budget.error(f"field {number} has the wire type {wire}, which is not in use")
            self.fields.setdefault(number, []).append(value)

    def messages(self, number: int) -> list[Message]:
        return [Message(self._bytes(v, number), self.budget, self.depth + 1) for v in self.fields.get(number, ())]

    def message(self, number: int) -> Message | None:
        """The last of its kind, as protobuf has it for fields that are not repeated."""
        found = self.fields.get(number)
        return None if found is None else Message(self._bytes(found[-1], number), self.budget, self.depth + 1)

    def has(self, number: int) -> bool:
        return number in self.fields

    def integer(self, number: int, default: int = 0) -> int:
        """A signed integer of 64 bits."""
        found = self.fields.get(number)
        if found is None:
            return default
        value = found[-1]
        if not isinstance(value, int):
            raise self.budget.error(f"field {number} should be an integer")
        return value - (1 << 64) if value >= 1 << 63 else value

    def integers(self, number: int) -> list[int]:
        return [int(v) for v in self.varints(number)]

    def varints(self, number: int) -> Array:
        """Repeated integers, packed or not: i64."""
        parts = []
        for value in self.fields.get(number, ()):
            if isinstance(value, int):
                parts.append(np.array([value], np.uint64).view(np.int64))
            else:
                parts.append(_packed(value, self.budget))
        return np.concatenate(parts) if parts else np.zeros(0, np.int64)

    def fixed(self, number: int, dtype: Any) -> Array:
        """Repeated floats or doubles, packed or not."""
        size = np.dtype(dtype).itemsize
        data = b"".join(self._bytes(v, number) for v in self.fields.get(number, ()))
        if len(data) % size:
            raise self.budget.error(f"field {number} has {len(data)} bytes, not a multiple of {size}")
        return np.frombuffer(data, dtype)

    def real(self, number: int) -> float:
        """A float of 4 bytes or a double of 8."""
        data = self._bytes(self.fields[number][-1], number)
        if len(data) not in (4, 8):
            raise self.budget.error(f"field {number} should be a floating-point number")
        return float(struct.unpack("<f" if len(data) == 4 else "<d", data)[0])

    def data(self, number: int) -> memoryview:
        found = self.fields.get(number)
        return memoryview(b"") if found is None else self._bytes(found[-1], number)

    def text(self, number: int) -> str:
        return self._text(self.data(number), number)

    def texts(self, number: int) -> list[str]:
        return [self._text(self._bytes(v, number), number) for v in self.fields.get(number, ())]

    def entries(self, number: int) -> list[tuple[str, Message]]:
        """A map from strings to messages. A key that comes twice is an error here: it would hide a meaning."""
        found: dict[str, Message] = {}
        for entry in self.messages(number):
            key = entry.text(1)
            if key in found:
                raise self.budget.error(f"the key '{key}' of a map comes twice")
            found[key] = entry.message(2) or Message(memoryview(b""), self.budget, self.depth + 1)
        return list(found.items())

    def _bytes(self, value: int | memoryview, number: int) -> memoryview:
        if isinstance(value, int):
            raise self.budget.error(f"field {number} should not be an integer")
        return value

    def _text(self, data: memoryview, number: int) -> str:
        try:
            return bytes(data).decode("utf-8")
        except UnicodeDecodeError:
            raise self.budget.error(f"field {number} is not text in UTF-8") from None


def _varint(data: memoryview, at: int, budget: Budget) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(data):
            raise budget.error("it ends within a number")
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & 0xFFFFFFFFFFFFFFFF, at
    raise budget.error("a number has more than 10 bytes")


def _packed(data: memoryview, budget: Budget) -> Array:
    """All varints of a packed field, without a loop over them."""
    raw = np.frombuffer(data, np.uint8)
    if raw.size == 0:
        return np.zeros(0, np.int64)
    ends = np.flatnonzero(raw < 0x80)
    if ends.size == 0 or ends[-1] != raw.size - 1:
        raise budget.error("it ends within a number")
    starts = np.concatenate([[0], ends[:-1] + 1])
    lengths = ends - starts + 1
    if lengths.max() > 10:
        raise budget.error("a number has more than 10 bytes")
    values = np.zeros(ends.size, np.uint64)
    for i in range(int(lengths.max())):
        live = lengths > i
        values[live] |= (raw[starts[live] + i].astype(np.uint64) & np.uint64(0x7F)) << np.uint64(7 * i)
    return values.view(np.int64)
