"""What a kernel's numbers are, where one kernel serves several: floats, halves that are computed in, halves that are
only stored (kernels/halves.h)."""

from __future__ import annotations

from dataclasses import dataclass, replace

from edgec.targets.c.isa import Isa

# headers whose kernels keep to the words of isa.h, so that hNAME and sNAME are the same for halves
SHARED = ("act.h", "conv.h", "depthwise.h", "gemm.h", "map.h", "matmul.h", "planes.h", "pool.h", "qcast.h",
          "reduce.h", "winograd.h")  # fmt: skip


@dataclass(frozen=True)
class Element:
    """`letter` stands in front of the names of headers and functions; `section`: what the macros of those headers stand
    behind; `isa`: the instruction set as these numbers see it, its name a key of tables of tiles."""

    dtype: str
    letter: str
    section: str
    isa: Isa

    @property
    def lanes(self) -> int:
        return self.isa.lanes

    def header(self, name: str) -> str:
        assert name in SHARED
        return self.letter + name

    def function(self, name: str) -> str:
        """Of a kernel, a struct or an instance, by its name without the prefix."""
        return f"edgec_{self.letter}{name}"


SECTIONS = {"": "", "h": "halves_on.inc", "s": "half_storage_on.inc"}


def section_of(header: str) -> str:
    """The section that macros of a header are used in; empty: none."""
    return SECTIONS.get(header[0], "") if header[1:] in SHARED else ""


def lanes_of(header: str, isa: Isa) -> int:
    """Numbers that kernels of a header compute at once."""
    return isa.half_lanes if section_of(header) == SECTIONS["h"] else isa.lanes


def element_of(isa: Isa, dtype: str, wide: bool = False) -> Element:
    """How an instruction set computes numbers of a dtype; `wide`: halves are to become floats first."""
    if dtype == "f32":
        return Element(dtype, "", SECTIONS[""], isa)
    assert dtype == "f16", dtype
    if isa.half_lanes and not wide:
        return Element(dtype, "h", SECTIONS["h"], replace(isa, name=f"{isa.name}_halves", lanes=isa.half_lanes))
    return Element(dtype, "s", SECTIONS["s"], isa)
