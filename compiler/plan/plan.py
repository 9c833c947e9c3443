"""The Plan: an ordered list of kernel calls with literal sizes, packed constants, and buffers with offsets.

Lowering (targets/c/lower) turns ops into `Call`s, and chains of row kernels into `Block`s, over `Buffer`s; `memory.py`
gives every scratch buffer an offset; the emitter prints them. Nothing downstream thinks about graphs.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Literal

from edgec.ir.origin import Origin, Scaled
from edgec.ir.types import Type
from edgec.plan.rows import StageRows

Space = Literal["input", "output", "state", "scratch", "weights"]


class Buffer:
    """A run of bytes in one space, with identity. The memory planner fills in `offset` (scratch, weights, state).

    For inputs and outputs `index` is the position in the entry's signature and `offset` stays 0.
    """

    __slots__ = ("index", "name", "nbytes", "offset", "space")

    def __init__(self, space: Space, nbytes: int, name: str = "", index: int = 0) -> None:
        self.space: Space = space
        self.nbytes = nbytes
        self.name = name
        self.index = index
        self.offset = 0

    def __repr__(self) -> str:
        return f"{self.space}:{self.name}+{self.offset}({self.nbytes})"


@dataclass(frozen=True)
class Pointer:
    """An address as an argument: `offset` bytes into a buffer, of C type `ctype` (`float`, `int64_t`, `void` …).
    `slot`: bytes between the shares of a block's callers, where each has its own. In a call that is made once a row,
    `image` and `row` are the bytes from one to the next, rows counted modulo `depth` where that is not 0."""

    buffer: Buffer
    ctype: str
    offset: int = 0
    write: bool = False
    slot: int = 0
    image: int = 0
    row: int = 0
    depth: int = 0


@dataclass(frozen=True)
class Symbol:
    """An argument that is a C identifier, such as the name of a tile function."""

    name: str


@dataclass(frozen=True)
class Struct:
    """An argument that is the address of a constant struct: sizes that a kernel takes together."""

    ctype: str
    fields: tuple[tuple[str, int | float | Symbol], ...]


Arg = Pointer | Symbol | Struct | int | float | None  # None is the C literal 0: an absent optional pointer


@dataclass(frozen=True)
class Call:
    """One kernel call.

    `function` is a C function of kernels/`header`; `args` are its arguments in order. `tasks` > 0 says that the
    function's last two parameters are `(ptrdiff_t begin, ptrdiff_t end)`, a range of 0 … tasks that may be split over
    threads in any way without changing a bit. `source` names the op and ONNX node, `macs` its multiply-adds.
    """

    header: str
    function: str
    args: tuple[Arg, ...]
    tasks: int = 0
    source: str = ""
    macs: int = 0
    instances: tuple[str, ...] = ()  # macro uses that make functions, such as EDGEC_GEMM_TILE(6, 4)
    inplace: bool = False  # the first pointer written may be the very bytes of the first one read
    each_row: bool = False  # in a stage: made once a row, for all of its tasks
    phase: tuple[int, int] | None = None  # in a stage: it makes rows first, first + step …, and counts only those

    def pointers(self) -> list[Pointer]:
        return [a for a in self.args if isinstance(a, Pointer)]


@dataclass(frozen=True)
class Stage:
    """Row kernels that together make rows of one value: calls whose last three parameters are (image, y0, y1), and
    calls that are made once a row."""

    calls: tuple[Call, ...]  # their multiply-adds are those of one image
    rows: StageRows


@dataclass(frozen=True)
class Block:
    """Stages run depth-first (kernels/block.h): `step` result rows at a time over `images` images; a task is one of
    the `bands` that each image's result rows are split into, at multiples of `align`."""

    stages: tuple[Stage, ...]
    images: int
    bands: int
    step: int
    source: str = ""
    align: int = 1

    @property
    def tasks(self) -> int:
        return self.images * self.bands

    @property
    def calls(self) -> list[Call]:
        return [call for stage in self.stages for call in stage.calls]

    @property
    def macs(self) -> int:
        return self.images * sum(call.macs for call in self.calls)

    def pointers(self) -> list[Pointer]:
        return [p for call in self.calls for p in call.pointers()]


@dataclass(frozen=True)
class Layer:
    """Where a result of the graph lies, for tools that look: behind step `step`, or, with a `stage` of that block, row
    by row as the stage makes it. `at` steps from row to row. With `channels` it is so many of them, from the first on,
    of the result `number`, whose other channels are layers, too. `type` is that of the whole result."""

    number: int
    label: str
    type: Type
    origin: Origin | None
    scaled: Scaled | None
    at: Pointer
    step: int
    stage: int | None = None
    channels: tuple[int, int] | None = None


@dataclass(frozen=True)
class Port:
    """An input, output or state tensor of the entry as its caller sees it."""

    name: str
    type: Type
    buffer: Buffer


@dataclass
class Plan:
    """One entry, ready to be printed as C."""

    name: str
    inputs: list[Port] = field(default_factory=list)
    outputs: list[Port] = field(default_factory=list)
    states: list[Port] = field(default_factory=list)
    state_initial: bytes = b""
    steps: list[Call | Block] = field(default_factory=list)
    buffers: list[Buffer] = field(default_factory=list)  # scratch buffers in order of first use
    layers: list[Layer] = field(default_factory=list)  # in the order in which they are made
    weights: bytes = b""
    weights_by_kind: Counter[str] = field(default_factory=Counter)  # bytes of weights by what they are
    scratch_bytes: int = 0
    state_bytes: int = 0

    @property
    def calls(self) -> list[Call]:
        """Every kernel call, those inside blocks included."""
        return [call for step in self.steps for call in (step.calls if isinstance(step, Block) else [step])]

    @property
    def macs(self) -> int:
        return sum(step.macs for step in self.steps)
