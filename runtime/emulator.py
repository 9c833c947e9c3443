"""Runs the AArch64 image NAME.elf in the unicorn emulator, in this process.

The image is the same object code that libNAME.a ships, linked without libc at a fixed address. Every buffer has its
exact size and stands between unmapped pages; what a kernel touches beside it is reported with the function's name.
"""

from __future__ import annotations

import ctypes
import struct
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import unicorn
from unicorn import arm64_const as a64

from edgec.runtime.abi import NAN_BYTE, InfoStruct, check_code, check_info
from edgec.runtime.buffers import aligned_tensor
from edgec.runtime.elf import Image, read_elf
from edgec.runtime.errors import RunError
from edgec.runtime.manifest import Manifest
from edgec.runtime.memory import PAGE, Memory, Region
from edgec.runtime.smmla import Copies, copies
from edgec.runtime.watch import ROWS, STEP, Watcher

Array = np.ndarray[Any, Any]

STACK_BYTES = 1 << 20
# Paints the stack, to see how deep a call went.
_PAINT = b"\xa5"

# Cores that unicorn knows. Any other is emulated as `max`, which has every feature that unicorn has.
_CPUS = {
    "cortex-a53": a64.UC_CPU_ARM64_A53,
    "cortex-a57": a64.UC_CPU_ARM64_A57,
    "cortex-a72": a64.UC_CPU_ARM64_A72,
    "max": a64.UC_CPU_ARM64_MAX,
}

_ARGUMENTS = (
    a64.UC_ARM64_REG_X0,
    a64.UC_ARM64_REG_X1,
    a64.UC_ARM64_REG_X2,
    a64.UC_ARM64_REG_X3,
    a64.UC_ARM64_REG_X4,
    a64.UC_ARM64_REG_X5,
)
_CPACR_FPEN = 3 << 20


class EmulatorRunner:
    """With `count=True`, `instructions` and `instructions_by_function` speak of the last run; counting slows it down.
    `stack_bytes` is the deepest stack of all calls so far. `cpu` is what is emulated, in words."""

    def __init__(self, manifest: Manifest, count: bool = False) -> None:
        self._manifest = manifest
        self._image = read_elf(manifest.directory / f"{manifest.name}.elf")
        if self._image.machine != "aarch64":
            raise RunError(f"{manifest.name}.elf is for {self._image.machine}, and the emulator runs aarch64")
        wanted = manifest.cpu.replace("_", "-")
        self._model = wanted if wanted in _CPUS else "max"
        self._copies = copies(self._image, -(-self._image.end // PAGE) * PAGE + PAGE)
        self.cpu = self._model if self._copies is None else f"{self._model}, smmla as dot products"
        self.stack_bytes = 0
        self.instructions: int | None = None
        self.instructions_by_function: dict[str, int] = {}
        self._fault: tuple[str, int] | None = None
        self._blocks: Counter[tuple[int, int]] = Counter()
        self._start()
        if count:
            self._uc.hook_add(unicorn.UC_HOOK_BLOCK, self._count_block)

    def _start(self) -> None:
        manifest = self._manifest
        self._uc = unicorn.Uc(unicorn.UC_ARCH_ARM64, unicorn.UC_MODE_ARM)
        self._uc.ctl_set_cpu_model(_CPUS[self._model])
        cpacr = self._uc.reg_read(a64.UC_ARM64_REG_CPACR_EL1)
        self._uc.reg_write(a64.UC_ARM64_REG_CPACR_EL1, cpacr | _CPACR_FPEN)
        self._uc.hook_add(unicorn.UC_HOOK_MEM_INVALID, self._note_fault)
        _map_image(self._uc, self._image)
        if self._copies is not None:
            _map_copies(self._uc, self._copies)
        self._memory = Memory(self._uc, self._image.end if self._copies is None else self._copies.end)
        self._exit = self._memory.allocate("the return address", 64).address
        self._stack = self._memory.allocate("the stack", STACK_BYTES)
        check_info(self._read_info(), manifest)
        self._inputs = [self._memory.allocate(f"input '{t.name}'", t.nbytes) for t in manifest.inputs]
        self._outputs = [self._memory.allocate(f"output '{t.name}'", t.nbytes) for t in manifest.outputs]
        self._state = self._memory.allocate("the state", manifest.state_bytes).address if manifest.state_bytes else 0
        scratch = manifest.scratch_bytes
        self._scratch = self._memory.allocate("the scratch memory", scratch).address if scratch else 0
        if scratch:
            self._uc.mem_write(self._scratch, bytes([NAN_BYTE]) * scratch)
        self._extra = self._brought(manifest.brought_weights())
        self._tables = [self._pointers("inputs", self._inputs), self._pointers("outputs", self._outputs)]
        self._checked_call("init", self._state, *self._extra)

    def _brought(self, weights: bytes | None) -> tuple[int, ...]:
        """Weights that are handed to each call, in memory that cannot be written."""
        if weights is None:
            return ()
        region = self._memory.allocate("the weights", len(weights))
        self._uc.mem_write(region.address, weights)
        self._uc.mem_protect(region.start, region.end - region.start, unicorn.UC_PROT_READ)
        return (region.address,)

    def _read_info(self) -> InfoStruct:
        address = self._call("info")
        try:
            return InfoStruct.from_buffer_copy(bytes(self._uc.mem_read(address, ctypes.sizeof(InfoStruct))))
        except unicorn.UcError as error:
            raise RunError(f"{self._manifest.name}_info returned {address:#x}, where nothing is: {error}") from error

    def _pointers(self, what: str, regions: Sequence[Region]) -> Region:
        table = self._memory.allocate(f"the pointers to {what}", 8 * len(regions))
        self._uc.mem_write(table.address, struct.pack(f"<{len(regions)}Q", *(r.address for r in regions)))
        return table

    # -- looking ------------------------------------------------------------------------------------------------

    def watch(self, watcher: Watcher) -> None:
        """Only of an image that was compiled with hooks."""

        def hook(name: str, count: int, told: Callable[..., None]) -> None:
            def entered(uc: Any, address: int, size: int, data: Any) -> None:
                told(*(int(uc.reg_read(register)) for register in _ARGUMENTS[:count]))

            at = self._image.symbols[name]
            self._uc.hook_add(unicorn.UC_HOOK_CODE, entered, begin=at, end=at)

        hook(STEP, 2, watcher.step)
        hook(ROWS, 6, watcher.rows)

    def peek(self, address: int, nbytes: int) -> bytes:
        return bytes(self._uc.mem_read(address, nbytes))

    # -- calls --------------------------------------------------------------------------------------------------

    def run(self, arrays: Sequence[Array]) -> list[Array]:
        for region, array in zip(self._inputs, arrays, strict=True):
            self._uc.mem_write(region.address, array.tobytes())
        self._blocks.clear()
        inputs, outputs = (table.address for table in self._tables)
        self._checked_call("run", inputs, outputs, self._state, self._scratch, 0, *self._extra)
        self._sum_blocks()
        self._memory.check_canaries()
        results = []
        for region, tensor in zip(self._outputs, self._manifest.outputs, strict=True):
            result = aligned_tensor(tensor)
            if region.size:
                raw = self._uc.mem_read(region.address, region.size)
                result.reshape(-1).view(np.uint8)[:] = np.frombuffer(raw, np.uint8)
            results.append(result)
        return results

    def reset(self) -> None:
        self._checked_call("reset", self._state, *self._extra)

    def close(self) -> None:
        """Memory goes with the object."""

    def _checked_call(self, suffix: str, *arguments: int) -> None:
        code = self._call(suffix, *arguments) & 0xFFFFFFFF
        check_code(f"{self._manifest.name}_{suffix}", code - (code >> 31 << 32))

    def _call(self, suffix: str, *arguments: int) -> int:
        """x0 after the function returned."""
        name = f"{self._manifest.name}_{suffix}"
        if name not in self._image.symbols:
            raise RunError(f"{self._manifest.name}.elf has no function {name}: build it again")
        stack = self._stack
        self._uc.mem_write(stack.address, _PAINT * stack.size)
        for register, value in zip(_ARGUMENTS, arguments, strict=False):
            self._uc.reg_write(register, value)
        self._uc.reg_write(a64.UC_ARM64_REG_SP, stack.address + stack.size)
        self._uc.reg_write(a64.UC_ARM64_REG_LR, self._exit)
        self._fault = None
        try:
            self._uc.emu_start(self._image.symbols[name], self._exit)
        except unicorn.UcError as error:
            raise RunError(f"{name} failed: {self._explain(error)}") from error
        left = bytes(self._uc.mem_read(stack.address, stack.size)).lstrip(_PAINT)
        self.stack_bytes = max(self.stack_bytes, len(left))
        return int(self._uc.reg_read(a64.UC_ARM64_REG_X0))

    def _explain(self, error: unicorn.UcError) -> str:
        place = self._image.where(self._origin(int(self._uc.reg_read(a64.UC_ARM64_REG_PC))))
        if self._fault is not None:
            verb, address = self._fault
            return f"it {verb} {address:#x}, {self._memory.describe(address)}, at {place}"
        return f"{error} at {place} on the CPU '{self._model}'"

    # -- hooks --------------------------------------------------------------------------------------------------

    def _note_fault(self, uc: Any, access: int, address: int, size: int, value: int, data: Any) -> bool:
        writes = (unicorn.UC_MEM_WRITE_UNMAPPED, unicorn.UC_MEM_WRITE_PROT)
        fetches = (unicorn.UC_MEM_FETCH_UNMAPPED, unicorn.UC_MEM_FETCH_PROT)
        verb = "jumped to" if access in fetches else f"{'wrote' if access in writes else 'read'} {size} bytes at"
        self._fault = (verb, address)
        return False

    def _count_block(self, uc: Any, address: int, size: int, data: Any) -> None:
        self._blocks[address, size] += 1

    def _origin(self, address: int) -> int:
        return address if self._copies is None else self._copies.origin(address)

    def _sum_blocks(self) -> None:
        if not self._blocks:
            return
        by_function: Counter[str] = Counter()
        for (at, size), times in self._blocks.items():
            address = self._origin(at)
            each = size // 4 if self._copies is None else self._copies.instructions(at, size)
            by_function[self._image.function_at(address) or f"{address:#x}"] += times * each
        self.instructions = by_function.total()
        self.instructions_by_function = dict(by_function.most_common())


def _map_image(uc: unicorn.Uc, image: Image) -> None:
    """Segments with their own rights: weights and code cannot be written. Linkers may put two on one page."""
    pages: dict[int, int] = {}
    for segment in image.segments:
        rights = (4 & segment.flags and unicorn.UC_PROT_READ) | (2 & segment.flags and unicorn.UC_PROT_WRITE)
        rights |= 1 & segment.flags and unicorn.UC_PROT_EXEC
        for page in range(segment.address // PAGE, -(-(segment.address + segment.size) // PAGE)):
            pages[page] = pages.get(page, 0) | rights
    start, run = None, 0
    for page in sorted(pages):
        if start is not None and page == start + run and pages[page] == pages[start]:
            run += 1
            continue
        if start is not None:
            uc.mem_map(start * PAGE, run * PAGE, pages[start])
        start, run = page, 1
    assert start is not None
    uc.mem_map(start * PAGE, run * PAGE, pages[start])
    for segment in image.segments:
        uc.mem_write(segment.address, bytes(segment.data))


def _map_copies(uc: unicorn.Uc, found: Copies) -> None:
    size = -(-len(found.code) // PAGE) * PAGE
    uc.mem_map(found.saved, PAGE, unicorn.UC_PROT_READ | unicorn.UC_PROT_WRITE)
    uc.mem_map(found.start, size, unicorn.UC_PROT_READ | unicorn.UC_PROT_EXEC)
    uc.mem_write(found.start, found.code)
    for address, branch in found.branches.items():
        uc.mem_write(address, branch)
