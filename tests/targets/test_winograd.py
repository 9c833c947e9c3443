"""The Winograd kernel against direct convolution in float64, in exact buffers between unmapped pages, on every ISA."""

from __future__ import annotations

import ctypes
import mmap
from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib.resources import files
from pathlib import Path
from typing import Protocol

import numpy as np
import pytest
import unicorn
from compiled import SCALAR_DEVICE, native
from unicorn import arm64_const as a64

from edgec.plan.plan import Symbol
from edgec.runtime.elf import read_elf
from edgec.runtime.memory import Memory, Region
from edgec.targets.arm import target as arm
from edgec.targets.c import toolchain, winograd
from edgec.targets.c.build import EMULATED
from edgec.targets.c.devices import Device
from edgec.targets.c.isa import NEON
from edgec.targets.c.winograd import Layer, WinogradTiles
from edgec.targets.host import target as host

# Largest error, relative to the largest result, against float64. F(4) over 512 channels comes to 2.8e-6.
TOLERANCE = 3e-6
INF = float("inf")


@dataclass(frozen=True)
class Case:
    """`rows` output rows a call; `x_depth`, `y_depth`, `r_depth` rows of the rings, 0: the whole image."""

    h: int
    w: int
    c: int
    oc: int
    m: int = 4
    pads: tuple[int, int, int, int] = (1, 1, 1, 1)  # top, left, bottom, right
    rows: int = 1000
    x_depth: int = 0
    y_depth: int = 0
    r_depth: int = 0
    residual: bool = False
    clamp: tuple[float, float] = (-INF, INF)
    act: bool = False
    images: int = 1

    @property
    def oh(self) -> int:
        return self.h + self.pads[0] + self.pads[2] - 2

    @property
    def ow(self) -> int:
        return self.w + self.pads[1] + self.pads[3] - 2

    @property
    def layer(self) -> Layer:
        return Layer(self.oh, self.ow, self.c, self.oc, min(self.rows, self.oh))


RELU, RELU6 = (0.0, INF), (0.0, 0.5)
CASES = [
    # images below, at and above one tile, every padding
    Case(3, 3, 4, 4, pads=(0, 0, 0, 0)),
    Case(1, 1, 5, 3),
    Case(4, 4, 16, 16, clamp=RELU),
    Case(5, 5, 7, 9, pads=(1, 0, 0, 0), residual=True),
    Case(5, 6, 7, 9, pads=(0, 1, 0, 0), clamp=RELU6),
    Case(6, 5, 7, 9, pads=(0, 0, 1, 0), act=True),
    Case(6, 6, 8, 8, pads=(0, 0, 0, 1)),
    Case(6, 7, 8, 4, pads=(1, 0, 0, 1), residual=True, clamp=RELU),
    # channels below, at and above vectors of 4, 8 and 16, one panel and several
    Case(8, 8, 1, 1),
    Case(8, 8, 3, 33, clamp=RELU6, residual=True),
    Case(8, 12, 15, 31),
    Case(9, 11, 17, 16),
    Case(12, 9, 20, 24, residual=True, clamp=RELU),
    Case(10, 10, 32, 65, act=True),
    Case(7, 13, 36, 68, residual=True),
    # rings, strips of one tile and of two, several segments, two images
    Case(17, 14, 12, 20, rows=4, x_depth=6, y_depth=4, residual=True, r_depth=5),
    Case(16, 30, 24, 40, rows=8, x_depth=11, y_depth=9, clamp=RELU),
    Case(18, 18, 8, 12, pads=(0, 0, 0, 0), rows=4, x_depth=7, y_depth=5, act=True),
    Case(20, 70, 32, 16, clamp=RELU, images=2, residual=True),
    Case(12, 70, 130, 20),
    # F(2)
    Case(1, 2, 3, 2, m=2),
    Case(4, 4, 16, 16, m=2, clamp=RELU),
    Case(7, 9, 10, 18, m=2, residual=True, act=True),
    Case(9, 7, 33, 7, m=2, rows=2, x_depth=4, y_depth=2, clamp=RELU6, residual=True, r_depth=3),
    Case(12, 40, 64, 36, m=2, rows=4, x_depth=6, y_depth=5, pads=(0, 1, 1, 0), images=2),
]


# -- machines -------------------------------------------------------------------------------------------------------


class Buffer(Protocol):
    address: int

    def write(self, values: np.ndarray) -> None: ...

    def read(self) -> np.ndarray: ...


class Machine(Protocol):
    device: Device

    def buffer(self, floats: int) -> Buffer: ...

    def call(self, function: str, arguments: list[int]) -> None: ...


class HostBuffer:
    """Ends where an unmapped page begins, or starts where one ends."""

    def __init__(self, floats: int, at_end: bool) -> None:
        page = mmap.PAGESIZE
        size = -(-floats * 4 // page) * page
        self._map = mmap.mmap(-1, size + 2 * page)
        start = ctypes.addressof(ctypes.c_char.from_buffer(self._map))
        protect = ctypes.CDLL(None).mprotect
        protect.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
        for at in (start, start + page + size):
            assert protect(at, page, 0) == 0
        self.address = start + page + (size - floats * 4 if at_end else 0)
        self._values = np.ctypeslib.as_array((ctypes.c_float * floats).from_address(self.address))

    def write(self, values: np.ndarray) -> None:
        self._values[:] = values.ravel()

    def read(self) -> np.ndarray:
        return self._values.copy()


class HostMachine:
    def __init__(self, device: Device, source: str, folder: Path) -> None:
        self.device = device
        self.at_end = True
        triple = host.platform("linux").triple
        _compile(source, device, folder, triple, ("-fPIC",))
        toolchain.link(folder, "cases.so", triple, ["cases.o"], ("-shared", "-O2"))
        self._library = ctypes.CDLL(str(folder / "cases.so"))

    def buffer(self, floats: int) -> HostBuffer:
        return HostBuffer(floats, self.at_end)

    def call(self, function: str, arguments: list[int]) -> None:
        getattr(self._library, function)(*(ctypes.c_ssize_t(a) for a in arguments))


class ArmBuffer:
    def __init__(self, uc: unicorn.Uc, region: Region) -> None:
        self.address, self._uc, self._size = region.address, uc, region.size

    def write(self, values: np.ndarray) -> None:
        self._uc.mem_write(self.address, values.astype(np.float32).tobytes())

    def read(self) -> np.ndarray:
        return np.frombuffer(bytes(self._uc.mem_read(self.address, self._size)), np.float32)


class ArmMachine:
    """The emulator; `instructions` of the calls so far."""

    def __init__(self, device: Device, source: str, folder: Path) -> None:
        self.device = device
        self.instructions = 0
        _compile(source, device, folder, EMULATED, ("-ffreestanding",))
        (folder / "edgec_mem.c").write_bytes(files("edgec.runtime").joinpath("c", "edgec_mem.c").read_bytes())
        toolchain.compile_c(folder, "edgec_mem.c", "edgec_mem.o", EMULATED, ("-O2", "-ffreestanding"))
        toolchain.link(
            folder, "cases.elf", EMULATED, ["cases.o", "edgec_mem.o"], ("-nostdlib", "-static", "-Wl,-e,case_0")
        )
        image = read_elf(folder / "cases.elf")
        self._symbols = image.symbols
        self._uc = unicorn.Uc(unicorn.UC_ARCH_ARM64, unicorn.UC_MODE_ARM)
        self._uc.ctl_set_cpu_model(a64.UC_CPU_ARM64_A72)
        self._uc.reg_write(a64.UC_ARM64_REG_CPACR_EL1, 3 << 20)
        base = min(s.address for s in image.segments) // 4096 * 4096
        self._uc.mem_map(base, -(-image.end // 4096) * 4096 - base)
        for segment in image.segments:
            self._uc.mem_write(segment.address, bytes(segment.data))
        self._uc.hook_add(unicorn.UC_HOOK_BLOCK, self._count)
        self._memory = Memory(self._uc, image.end)
        self._exit = self._memory.allocate("the return address", 64).address
        self._stack = self._memory.allocate("the stack", 1 << 16)

    def _count(self, uc: unicorn.Uc, address: int, size: int, data: object) -> None:
        self.instructions += size // 4

    def buffer(self, floats: int) -> ArmBuffer:
        return ArmBuffer(self._uc, self._memory.allocate("a buffer", floats * 4))

    def call(self, function: str, arguments: list[int]) -> None:
        top = self._stack.address + self._stack.size - 64
        for i, value in enumerate(arguments):
            if i < 8:
                self._uc.reg_write(getattr(a64, f"UC_ARM64_REG_X{i}"), value)
            else:
                self._uc.mem_write(top + 8 * (i - 8), value.to_bytes(8, "little"))
        self._uc.reg_write(a64.UC_ARM64_REG_SP, top)
        self._uc.reg_write(a64.UC_ARM64_REG_LR, self._exit)
        self._uc.emu_start(self._symbols[function], self._exit)
        self._memory.check_canaries()


def _compile(source: str, device: Device, folder: Path, triple: str, flags: tuple[str, ...]) -> None:
    for header in ("winograd.h", "isa.h", "edgec_base.h"):
        (folder / header).write_bytes(files("edgec.targets.c.kernels").joinpath(header).read_bytes())
    (folder / "cases.c").write_text(source)
    toolchain.compile_c(folder, "cases.c", "cases.o", triple, (*device.flags, "-O2", *flags))


def _source(cases: list[Case], device: Device) -> str:
    """One function a case: case_i(x, u, bias, r, y, scratch, image, y0, y1)."""
    instances: set[str] = set()
    body = []
    for i, case in enumerate(cases):
        tiles = _tiles(case, device)
        instances |= set(tiles.instances())
        fields = [f".{k} = {v.name if isinstance(v, Symbol) else v}" for k, v in tiles.struct().fields]
        depth = [case.x_depth or case.h, case.y_depth or case.oh, case.r_depth or case.oh]
        row = [case.w * case.c, case.ow * case.oc, case.ow * case.oc]
        shape = [case.h, case.w, case.c, case.oh, case.ow, case.oc, case.pads[0], case.pads[1]]
        for d, r in zip(depth, row, strict=True):
            shape += [d * r, r, d]
        lo, hi = (str(v).replace("inf", "__builtin_inff()") for v in case.clamp)
        body.append(
            f"void case_{i}(const float *x, const float *u, const float *bias, const float *r, float *y,\n"
            f"  float *scratch, ptrdiff_t image, ptrdiff_t y0, ptrdiff_t y1) {{\n"
            f"  static const edgec_winograd_tiles f = {{{', '.join(fields)}}};\n"
            f"  static const edgec_winograd_shape d = {{{', '.join(map(str, shape))}, {lo}, {hi}}};\n"
            f"  edgec_winograd(x, u, bias, r, y, scratch, &d, &f, {'twice' if case.act else '0'}, image, y0, y1);\n}}\n"
        )
    twice = "EDGEC_FN void twice(float *y, ptrdiff_t n) { for (ptrdiff_t i = 0; i < n; i++) y[i] *= 2; }\n"
    return '#include "winograd.h"\n' + "\n".join(sorted(instances)) + "\n" + twice + "".join(body)


def _tiles(case: Case, device: Device) -> WinogradTiles:
    return winograd.choose_tiles(device.isa, case.layer, case.m)


# -- one case -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Data:
    x: np.ndarray
    w: np.ndarray
    bias: np.ndarray
    r: np.ndarray | None


def direct(case: Case, data: Data) -> tuple[np.ndarray, float]:
    """The result, and the largest one before the clamp, which errors are relative to."""
    top, left, bottom, right = case.pads
    padded = np.pad(data.x.astype(np.float64), ((0, 0), (top, bottom), (left, right), (0, 0)))
    y = np.zeros((case.images, case.oh, case.ow, case.oc)) + data.bias
    for ky in range(3):
        for kx in range(3):
            y += padded[:, ky : ky + case.oh, kx : kx + case.ow] @ data.w[:, :, ky, kx].T.astype(np.float64)
    y = y if data.r is None else y + data.r
    scale = float(np.abs(y).max())
    y = np.clip(y, *case.clamp)
    return (2 * y, 2 * scale) if case.act else (y, scale)


def make_data(case: Case, seed: int) -> Data:
    rng = np.random.default_rng(seed)
    shape = (case.images, case.oh, case.ow, case.oc)
    return Data(
        rng.standard_normal((case.images, case.h, case.w, case.c)).astype(np.float32),
        (rng.standard_normal((case.oc, case.c, 3, 3)) / np.sqrt(9 * case.c)).astype(np.float32),
        rng.standard_normal(case.oc).astype(np.float32),
        rng.standard_normal(shape).astype(np.float32) if case.residual else None,
    )


def run_case(machine: Machine, index: int, case: Case, data: Data, rows: int) -> np.ndarray:
    """In calls of `rows` output rows. A ring holds nothing but the rows that a call may read; the rest are NaN."""
    tiles = _tiles(case, machine.device)
    u = tiles.pack(winograd.transform_weights(data.w, case.m))
    bias = tiles.pack_bias(data.bias, case.oc)
    x_depth, y_depth, r_depth = case.x_depth or case.h, case.y_depth or case.oh, case.r_depth or case.oh
    scratch_bytes = tiles.scratch_bytes(case.c)
    sizes = [case.images * x_depth * case.w * case.c, u.size, bias.size,
             case.images * r_depth * case.ow * case.oc if case.residual else 0,
             case.images * y_depth * case.ow * case.oc, scratch_bytes // 4]  # fmt: skip
    buffers = [machine.buffer(size) if size else None for size in sizes]
    bx, bu, bb, br, by, bs = buffers
    assert bx
    assert bu
    assert bb
    assert by
    assert bs
    bu.write(u)
    bb.write(bias)
    result = np.full((case.images, case.oh, case.ow, case.oc), np.nan, np.float32)
    for image in range(case.images):
        for y0 in range(0, case.oh, rows):
            y1 = min(y0 + rows, case.oh)
            bs.write(np.full(scratch_bytes // 4, np.nan))
            by.write(np.full(sizes[4], np.nan))
            first = y0 - case.pads[0]
            bx.write(_ring(data.x, x_depth, first, min(y1 + 2 - case.pads[0], case.h)))
            if br is not None and data.r is not None:
                br.write(_ring(data.r, r_depth, y0, y1))
            machine.call(f"case_{index}", [b.address if b else 0 for b in buffers] + [image, y0, y1])
            ring = by.read().reshape(case.images, y_depth, case.ow, case.oc)
            for row in range(y0, y1):
                result[image, row] = ring[image, row % y_depth]
            made = {row % y_depth for row in range(y0, y1)}
            for slot in set(range(y_depth)) - made:
                assert np.isnan(ring[image, slot]).all(), f"{case}: wrote row {slot} beside {y0} … {y1}"
    return result


def _ring(rows: np.ndarray, depth: int, first: int, stop: int) -> np.ndarray:
    ring = np.full((rows.shape[0], depth, *rows.shape[2:]), np.nan, np.float32)
    assert stop - max(first, 0) <= depth
    for y in range(max(first, 0), stop):
        ring[:, y % depth] = rows[:, y]
    return ring


def machines() -> dict[str, Callable[[list[Case], Path], Machine]]:
    """What this machine can run, and the emulator."""
    table: dict[str, Callable[[list[Case], Path], Machine]] = {
        device.name: (lambda cases, folder, d=device: HostMachine(d, _source(cases, d), folder))  # type: ignore[misc]
        for device in (*native(), SCALAR_DEVICE)
    }
    cortex = arm.choose("cortex-a72")
    table["emulator"] = lambda cases, folder: ArmMachine(cortex, _source(cases, cortex), folder)
    return table


# -- tests ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module", params=machines())
def machine(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Machine:
    return machines()[request.param](CASES, tmp_path_factory.mktemp("winograd"))


def test_against_direct_convolution(machine: Machine) -> None:
    for index, case in enumerate(CASES):
        data = make_data(case, index)
        expected, scale = direct(case, data)
        error = np.abs(run_case(machine, index, case, data, case.rows) - expected).max() / scale
        assert error < TOLERANCE, f"{machine.device.name} {case}: {error}"


def test_any_split_gives_the_same_bits(machine: Machine) -> None:
    """Calls of one strip and of all; buffers of the host start at an unmapped page."""
    if isinstance(machine, HostMachine):
        machine.at_end = False
    for index, case in enumerate(CASES):
        if case.x_depth or case.oh <= case.m:
            continue
        data = make_data(case, index)
        whole = run_case(machine, index, case, data, case.oh)
        split = run_case(machine, index, case, data, case.m)
        np.testing.assert_array_equal(split, whole, f"{machine.device.name} {case}")


@pytest.mark.parametrize("odd", [np.nan, np.inf], ids=str)
def test_what_is_not_finite_stays_in_its_tiles(machine: Machine, odd: float) -> None:
    """As the README says. A NaN reaches the nine pixels of a direct convolution at least, whatever the clamp."""
    for index, case in enumerate(CASES):
        if case.images == 1:
            continue
        data, (y, x) = make_data(case, index), (9, 21)
        clean = run_case(machine, index, case, data, case.rows)
        spoilt = data.x.copy()
        spoilt[0, y, x, 2] = odd
        found = run_case(machine, index, case, replace(data, x=spoilt), case.rows)
        reads = [  # whether a tile, and a result, reads the pixel, by row and by column
            [(first <= at + pad < first + case.m + 2, i <= at + pad < i + 3)
             for i in range(size) for first in [i // case.m * case.m]]
            for size, at, pad in ((case.oh, y, case.pads[0]), (case.ow, x, case.pads[1]))
        ]  # fmt: skip
        tiles, nine = (np.outer(*([r[which] for r in axis] for axis in reads)) for which in (0, 1))
        assert nine.sum() == 9
        assert np.isfinite(found[1]).all()
        np.testing.assert_array_equal(found[0][~tiles], clean[0][~tiles], f"{machine.device.name} {case}")
        if np.isnan(odd):
            assert np.isnan(found[0][nine]).all(), f"{machine.device.name} {case}"


COUNTED = [
    Case(32, 32, 16, 16, clamp=RELU),
    Case(16, 16, 32, 32, rows=4, clamp=RELU),
    Case(8, 8, 64, 64, clamp=RELU),
    Case(14, 14, 24, 40, clamp=RELU),
    Case(16, 16, 32, 32, m=2, clamp=RELU),
]


def test_instructions_are_as_estimated(tmp_path: Path) -> None:
    machine = machines()["emulator"](COUNTED, tmp_path)
    assert isinstance(machine, ArmMachine)
    for index, case in enumerate(COUNTED):
        machine.instructions = 0
        run_case(machine, index, case, make_data(case, index), case.rows)
        estimate = winograd.instructions(case.layer, machine.device.isa, case.m)
        assert abs(estimate / machine.instructions - 1) < 0.1, f"{case}: {machine.instructions}, not {estimate}"
        if index == 0:
            assert machine.instructions < 0.14 * case.layer.macs


@pytest.mark.parametrize(
    ("layer", "expected"),
    [
        (Layer(32, 32, 16, 16, 32), 4),
        (Layer(32, 32, 64, 64, 4), 4),
        (Layer(8, 8, 64, 64, 8), 4),
        (Layer(32, 32, 3, 16, 32), 0),  # transforms of one vector of input cost more than they save
        (Layer(2, 2, 128, 128, 2), 0),  # four times the weights for a tile of which a quarter is used
    ],
)
def test_best_on_neon(layer: Layer, expected: int) -> None:
    assert winograd.best(layer, NEON) == expected
    assert winograd.pays(layer, NEON, 4) == (expected == 4)


def test_small_images_on_avx512() -> None:
    """Direct convolution pays for loading each pixel as Winograd's products do: measured, 37 us become 20."""
    assert winograd.best(Layer(8, 8, 64, 64, 8), host.choose("avx512").isa) == 2


def test_scratch_of_a_segment_is_bounded() -> None:
    """More groups only while they fit; one group of many channels may be larger."""
    for layer in (Layer(224, 224, 64, 64, 224), Layer(56, 56, 128, 128, 56)):
        tiles = winograd.choose_tiles(NEON, layer, 4)
        assert tiles.groups == 1 or tiles.scratch_bytes(layer.c) <= winograd.SEGMENT_BYTES
        assert tiles.scratch_bytes(layer.c) > 2**16
