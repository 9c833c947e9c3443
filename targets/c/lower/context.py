"""What a lowering function may do: name buffers, pack constants, ask for scratch, append kernel calls.

Lowering happens before memory is planned: it works on `Buffer` identities, and offsets come later (plan/memory.py).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np

from edgec.ir.graph import Graph, Op, Value
from edgec.ir.rows import row_view
from edgec.ir.types import NARROW, Type, dtype_name
from edgec.plan.plan import Arg, Block, Buffer, Call, Plan, Pointer, Port
from edgec.targets.c.element import Element, bf16_element, element_of, float8_element
from edgec.targets.c.isa import Isa

ALIGNMENT = 64


class NotLowered(Exception):
    """This target has no kernel for this form of the op; the message says which."""


CTYPES = {
    "f64": "double",
    "f32": "float",
    "f16": "_Float16",
    "bf16": "uint16_t",
    "i64": "int64_t",
    "i32": "int32_t",
    "i16": "int16_t",
    "i8": "int8_t",
    "u64": "uint64_t",
    "u32": "uint32_t",
    "u16": "uint16_t",
    "u8": "uint8_t",
    "bool": "uint8_t",
    **dict.fromkeys(NARROW, "uint8_t"),
}


def slack(type: Type) -> int:
    """Bytes behind a value in scratch memory that kernels of bytes and of bf16 may read, and make nothing of."""
    return ALIGNMENT if type.numpy.itemsize == 1 or type.dtype == "bf16" else 0


@dataclass(frozen=True)
class Place:
    """Where a value's bytes are."""

    buffer: Buffer
    offset: int = 0


@dataclass(frozen=True)
class Rows:
    """Where the rows of a channels-last image lie (kernels/rows.h): row y of image n begins at `at` + n*image +
    (y % depth)*row elements of `size` bytes, with `left` and `right` columns beside it that hold `zero`."""

    at: Pointer
    image: int
    row: int
    depth: int
    left: int = 0
    right: int = 0
    size: int = 4
    zero: int = 0

    def read(self) -> Pointer:
        return replace(self.at, write=False)

    def write(self) -> Pointer:
        return replace(self.at, write=True)


class Lowering:
    """The state of lowering one entry. `graph` is only read."""

    def __init__(self, graph: Graph, isa: Isa, name: str) -> None:
        self.graph = graph
        self.isa = isa
        self.plan = Plan(name)
        self.rows: dict[Value, Rows] = {}  # values that are not stored densely
        self.winograd: dict[Op, int] = {}  # convolutions that are done so, with their m
        self._collected: list[Call] | None = None
        self._row_pointers: dict[Value, Pointer] | None = None
        self._phase: tuple[int, int] | None = None
        self.source = ""
        self._places: dict[Value, Place] = {}
        self._numbers: dict[Value, int] = {}
        self._packed: dict[tuple[str, str], Buffer] = {}
        self._weights: list[bytes] = []
        self._weights_size = 0
        self._bind_ports()

    @property
    def lanes(self) -> int:
        """Floats in a vector register."""
        return self.isa.lanes

    def element(self, dtype: str, wide: bool = False) -> Element:
        """What kernels of these numbers are called; `wide`: to be computed in floats."""
        return element_of(self.isa, dtype, wide)

    def products(self, dtype: str, left: str, result: str) -> Element:
        """The same of a GEMM with weights of the dtype, and operand and results of these C types."""
        if left == CTYPES["u8"]:
            return float8_element(self.isa)
        if dtype != "bf16":
            return self.element(dtype)
        return bf16_element(self.isa, "bf16" if result == CTYPES["bf16"] else "f32")

    def _bind_ports(self) -> None:
        state_inputs = {s.input for s in self.graph.states}
        for value in self.graph.inputs:
            ports = self.plan.states if value in state_inputs else self.plan.inputs
            space = "state" if value in state_inputs else "input"
            buffer = Buffer(space, value.type.nbytes, value.name, len(ports))  # type: ignore[arg-type]
            ports.append(Port(value.name, value.type, buffer))
            self._places[value] = Place(buffer)
        for name, value in self.graph.outputs:
            buffer = Buffer("output", value.type.nbytes, name, len(self.plan.outputs))
            self.plan.outputs.append(Port(name, value.type, buffer))
            if value.op is not None and value not in self._places:
                self._places[value] = Place(buffer)

    # -- addresses ----------------------------------------------------------------------------------------------

    def place(self, value: Value) -> Place:
        """Where the value is stored, densely; made on first use."""
        assert value not in self.rows, f"{value!r} is stored by rows"
        if value not in self._places:
            self._places[value] = Place(self.scratch(value.type.nbytes + slack(value.type), value.name))
        return self._places[value]

    def set_place(self, value: Value, place: Place) -> None:
        assert value not in self._places
        self._places[value] = place

    def read(self, value: Value, ctype: str | None = None) -> Pointer:
        ctype = ctype or CTYPES[value.type.dtype]
        if self._row_pointers and value in self._row_pointers:
            return replace(self._row_pointers[value], ctype=ctype, write=False)
        if value.const is not None:
            return self.pack(self.graph.array(value), ctype)
        place = self.place(value)
        return Pointer(place.buffer, ctype, place.offset)

    def write(self, value: Value, ctype: str | None = None) -> Pointer:
        if self._row_pointers and value in self._row_pointers:
            return replace(self._row_pointers[value], ctype=ctype or CTYPES[value.type.dtype], write=True)
        place = self.place(value)
        return Pointer(place.buffer, ctype or CTYPES[value.type.dtype], place.offset, write=True)

    def image_rows(self, value: Value, write: bool = False) -> Rows:
        """Where the rows of a value lie; dense unless said otherwise before."""
        if value in self.rows:
            return self.rows[value]
        view = row_view(value.type.dims or (1,))
        row = view.columns * view.channels
        at = self.write(value) if write else self.read(value)
        return Rows(at, view.rows * row, row, max(1, view.rows), size=value.type.numpy.itemsize)

    def is_dense(self, value: Value) -> bool:
        return value not in self.rows

    def is_placed(self, value: Value) -> bool:
        return value in self.rows or value in self._places

    def number(self, value: Value) -> int:
        """By which layers name it."""
        return self._numbers.setdefault(value, len(self._numbers))

    def temp(self, nbytes: int, ctype: str = "void") -> Pointer:
        """Scratch that lives for the calls that mention it."""
        assert self._row_pointers is None, "threads would share it"
        return Pointer(self.scratch(nbytes, "temp"), ctype, write=True)

    def pointer(self, buffer: Buffer, offset: int, slot: int = 0, dtype: str = "f32") -> Pointer:
        """An address to write."""
        return Pointer(buffer, CTYPES[dtype], offset, True, slot)

    def scratch(self, nbytes: int, name: str) -> Buffer:
        buffer = Buffer("scratch", nbytes, name)
        self.plan.buffers.append(buffer)
        return buffer

    def pack(self, array: np.ndarray, ctype: str | None = None, kind: str = "") -> Pointer:
        """The array as bytes among the weights, 64-byte aligned, once per content. `kind` is for the receipt, by
        default the dtype."""
        data = np.ascontiguousarray(array)
        raw = data.tobytes()
        key = (self.graph.module.intern(data.reshape(-1).view(np.uint8)) if raw else "empty", "")
        if key not in self._packed:
            buffer = Buffer("weights", len(raw))
            buffer.offset = self._weights_size
            padding = -len(raw) % ALIGNMENT
            self._weights += [raw, bytes(padding)]
            self._weights_size += len(raw) + padding
            self.plan.weights_by_kind[kind or dtype_name(data.dtype)] += len(raw)
            self._packed[key] = buffer
        return Pointer(self._packed[key], ctype or CTYPES[dtype_name(data.dtype)])

    def sizes(self, values: Iterable[int]) -> Pointer:
        """Lengths or strides as a packed int64 array."""
        return self.pack(np.array(list(values), np.int64), "int64_t")

    # -- calls --------------------------------------------------------------------------------------------------

    def call(
        self,
        header: str,
        function: str,
        *args: Arg,
        tasks: int = 0,
        macs: int = 0,
        instances: tuple[str, ...] = (),
        inplace: bool = False,
    ) -> None:
        """Append a kernel call. `inplace`: the first pointer written may be the very bytes of the first one read."""
        made = Call(
            header, function, args, tasks, self.source, macs, instances, inplace, self._row_pointers is not None,
            self._phase,
        )  # fmt: skip
        (self.plan.steps if self._collected is None else self._collected).append(made)

    @contextmanager
    def collect(self) -> Iterator[list[Call]]:
        """Calls made inside go into the list: the calls of a stage."""
        assert self._collected is None
        self._collected = []
        try:
            yield self._collected
        finally:
            self._collected = None

    @contextmanager
    def each_row(self, pointers: dict[Value, Pointer]) -> Iterator[None]:
        """Calls made inside are made once a row; the values are at the pointers, which step from row to row."""
        assert self._row_pointers is None
        self._row_pointers = pointers
        try:
            yield
        finally:
            self._row_pointers = None

    @contextmanager
    def phase(self, first: int, step: int) -> Iterator[None]:
        """Calls made inside make the rows first, first + step … of a stage."""
        self._phase = first, step
        try:
            yield
        finally:
            self._phase = None

    def block(self, block: Block) -> None:
        self.plan.steps.append(block)

    def alias(self, result: Value, source: Value) -> None:
        """`result` is the bytes of `source` under another type; a copy when both must exist (graph outputs)."""
        if result in self._places or source.const is not None:
            self.copy(self.write(result, "void"), self.read(source, "void"), result.type.nbytes)
        else:
            self._places[result] = self.place(source)

    def copy(self, to: Pointer, source: Pointer, nbytes: int) -> None:
        if nbytes:
            self.call("edgec_base.h", "edgec_copy", to, source, nbytes)

    def finish(self) -> Plan:
        """Outputs that no call writes (constants, inputs, one value under two names), and the states."""
        written: set[Value] = set()
        for port, (_, value) in zip(self.plan.outputs, self.graph.outputs, strict=True):
            if self._places.get(value) != Place(port.buffer) or value in written:
                to = Pointer(port.buffer, "void", write=True)
                self.copy(to, self.read(value, "void"), value.type.nbytes)
            written.add(value)
        staged = []
        for state in self.graph.states:
            # every new state is staged first: one state's output may be another's input
            source = self.read(state.output, "void")
            if source.buffer.space == "state":
                stage = self.temp(source.buffer.nbytes)
                self.copy(stage, source, source.buffer.nbytes)
                source = replace(stage, write=False)
            staged.append((state, source))
        for state, source in staged:
            self.copy(self.write(state.input, "void"), source, state.input.type.nbytes)
        self.plan.state_initial = b""
        for state, port in zip(self.graph.states, self.plan.states, strict=True):
            port.buffer.offset = len(self.plan.state_initial)
            raw = self.graph.module.constants[state.initial].tobytes()
            self.plan.state_initial += raw + bytes(-len(raw) % ALIGNMENT)
        self.plan.state_bytes = len(self.plan.state_initial)
        self.plan.weights = b"".join(self._weights)
        return self.plan


LowerOp = Callable[[Op, Lowering], None]
