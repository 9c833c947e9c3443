"""Memory of an emulated machine: buffers of exact size between unmapped pages, and whose memory an address is."""

from __future__ import annotations

from dataclasses import dataclass

import unicorn

from edgec.runtime.abi import ALIGNMENT
from edgec.runtime.errors import RunError

PAGE = 4096
# Fills what a page holds beside its buffer: a NaN as a float, so that reading it shows.
CANARY = b"\xff"


@dataclass(frozen=True)
class Region:
    """`address … address + size` in the pages `start … end`, as near to `end` as alignment permits."""

    name: str
    address: int
    size: int
    start: int
    end: int


class Memory:
    """Hands out regions from `base` upwards, one unmapped page before and after each."""

    def __init__(self, uc: unicorn.Uc, base: int) -> None:
        self._uc = uc
        self._next = _up(base) + PAGE
        self.regions: list[Region] = []

    def allocate(self, name: str, size: int) -> Region:
        start = self._next
        end = start + max(PAGE, _up(size))
        region = Region(name, end - max(ALIGNMENT, -(-size // ALIGNMENT) * ALIGNMENT), size, start, end)
        try:
            self._uc.mem_map(start, end - start, unicorn.UC_PROT_READ | unicorn.UC_PROT_WRITE)
        except unicorn.UcError as error:
            raise RunError(f"the emulator has no memory for the {size} bytes of {name}: {error}") from error
        self._uc.mem_write(start, CANARY * (region.address - start))
        self._uc.mem_write(region.address + size, CANARY * (end - region.address - size))
        self._next = end + PAGE
        self.regions.append(region)
        return region

    def check_canaries(self) -> None:
        """RunError when somebody wrote beside a buffer, where no unmapped page could stop it."""
        for region in self.regions:
            after = region.address + region.size
            for what, at, size in (
                ("before", region.start, region.address - region.start),
                ("after", after, region.end - after),
            ):
                found = bytes(self._uc.mem_read(at, size)) if size else b""
                if found.strip(CANARY):
                    raise RunError(f"the model wrote outside its memory, {what} {region.name} ({region.size} bytes)")

    def describe(self, address: int) -> str:
        """An address in words: `12 bytes after the end of output 'y'`."""
        if not self.regions or address < PAGE:
            return "near NULL" if address < PAGE else "unmapped memory"
        near = min(self.regions, key=lambda r: max(r.address - address, address - r.address - r.size))
        if address >= near.address + near.size:
            distance, words = address - near.address - near.size, f"bytes after the end of {near.name}"
        elif address < near.address:
            distance, words = near.address - address, f"bytes before the start of {near.name}"
        else:
            distance, words = address - near.address, f"bytes into {near.name}"
        return f"{distance} {words} ({near.size} bytes)"


def _up(size: int) -> int:
    return -(-size // PAGE) * PAGE
