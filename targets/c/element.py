"""What a kernel's numbers are, where one kernel serves several: floats, halves that are computed in, halves that are
only stored (kernels/halves.h), products of bf16 (kernels/bf16gemm.h) and of
8-bit floats (kernels/float8gemm.h)."""

from __future__ import annotations

from dataclasses import dataclass, replace

from edgec.plan.plan import Plan
from edgec.targets.c.isa import Isa

# headers whose kernels keep to the words of isa.h, so that hNAME and sNAME are the same for halves; of GEMMs, bNAME and
# tNAME are over bf16, with results in floats and in bf16, and fNAME over 8-bit floats
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
    def ctype(self) -> str:
        """Of packed operands: kernels over bf16 call two of them a float."""
        return "_Float16" if self.dtype == "f16" else "float"

    @property
    def itemsize(self) -> int:
        """Of the same."""
        return 2 if self.dtype == "f16" else 4

    @property
    def lanes(self) -> int:
        return self.isa.lanes

    def header(self, name: str) -> str:
        assert name in SHARED
        return self.letter + name

    def function(self, name: str) -> str:
        """Of a kernel, a struct or an instance, by its name without the prefix."""
        return f"edgec_{self.letter}{name}"


SECTIONS = {
    "": "", "h": "halves_on.inc", "s": "half_storage_on.inc", "b": "bf16_on.inc", "t": "bf16_results_on.inc",
    "f": "float8_on.inc",
}  # fmt: skip


def section_of(header: str) -> str:
    """The section that macros of a header are used in; empty: none."""
    return SECTIONS.get(header[0], "") if header[1:] in SHARED else ""


def extensions_of(plan: Plan, isa: Isa) -> list[str]:
    """Instructions of a core that the plan's kernels use and emulators may not have."""
    bf16 = (SECTIONS["b"], SECTIONS["t"])
    uses = {"bf16" for call in plan.calls if section_of(call.header) in bf16 or call.function == "edgec_to_bf16"}
    uses |= {"fp8" for call in plan.calls if section_of(call.header) == SECTIONS["f"]}
    there = {"bf16": isa.bf16_products, "fp8": isa.float8_products}
    return sorted(name for name in uses if there[name])


def lanes_of(header: str, isa: Isa) -> int:
    """Numbers that kernels of a header compute at once."""
    if section_of(header) in (SECTIONS["b"], SECTIONS["t"]):
        return isa.bf16_products or isa.lanes
    if section_of(header) == SECTIONS["f"]:
        return isa.float8_products or isa.lanes
    return isa.half_lanes if section_of(header) == SECTIONS["h"] else isa.lanes


def bf16_element(isa: Isa, result: str) -> Element:
    """Products of bf16 whose sums become floats, or bf16."""
    letter = "t" if result == "bf16" else "b"
    return Element("bf16", letter, SECTIONS[letter], isa)


def float8_element(isa: Isa) -> Element:
    """Products of 8-bit floats whose scaled sums are floats."""
    return Element("u8", "f", SECTIONS["f"], isa)


def element_of(isa: Isa, dtype: str, wide: bool = False) -> Element:
    """How an instruction set computes numbers of a dtype; `wide`: halves are to become floats first."""
    if dtype == "f32":
        return Element(dtype, "", SECTIONS[""], isa)
    assert dtype == "f16", dtype
    if isa.half_lanes and not wide:
        return Element(dtype, "h", SECTIONS["h"], replace(isa, name=f"{isa.name}_halves", lanes=isa.half_lanes))
    return Element(dtype, "s", SECTIONS["s"], isa)
