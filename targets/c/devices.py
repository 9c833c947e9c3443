"""What a core can do, read from the targets' devices/*.toml."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field, replace
from importlib.resources import files

from edgec.plan.cost import Memory
from edgec.targets.c.isa import AVX2, AVX512, NEON, SCALAR, Isa

_ISAS = {isa.name: isa for isa in (SCALAR, NEON, AVX2, AVX512)}
_DOT = ("dotprod", "avx512vnni")  # features that bring dot products of bytes
_BF16 = {"bf16": 16, "avx512bf16": 32}  # and products of bf16: how many an instruction


@dataclass(frozen=True)
class Device:
    """`flags` are the C compiler's; `features` are what the machine must have."""

    name: str
    description: str
    isa: Isa
    flags: tuple[str, ...]
    features: tuple[str, ...]
    memory: Memory = field(default_factory=Memory)


def read_devices(package: str) -> dict[str, Device]:
    """Devices of a target folder by name."""
    found: dict[str, Device] = {}
    for entry in sorted(files(package).joinpath("devices").iterdir(), key=lambda e: e.name):
        if not entry.name.endswith(".toml"):
            continue
        facts = tomllib.loads(entry.read_text())
        name = entry.name.removesuffix(".toml")
        features = tuple(facts.get("features", ()))
        halves = 8 if facts["isa"] == "neon" and "fp16" in features else 0
        bf16 = next((products for feature, products in _BF16.items() if feature in features), 0)
        isa = replace(
            _ISAS[facts["isa"]], dot=any(f in _DOT for f in features), mmla="i8mm" in features,
            amx="amx-int8" in features, half_lanes=halves, bf16_products=bf16,
            float8_products=16 if "fp8dot4" in features else 0,
        )  # fmt: skip
        found[name] = Device(
            name, facts["description"], isa, tuple(facts["flags"]), features,
            Memory(*(facts[cache] * 1024 for cache in ("l1_kib", "l2_kib"))),
        )  # fmt: skip
    return found


def computed_here(core: Device, here: Device) -> Device:
    """A device whose plans are those of `core` for floats and halves, and which `here` computes: its compiler does in
    floats what the core does with registers of halves, rounding after each operation (kernels/halves.h). Sums of bytes
    are the same in any order; plain C has them in the layout for dot products."""
    isa = replace(core.isa, dot=True, mmla=False, bf16_products=0, float8_products=0)
    flags = (*here.flags, "-DEDGEC_SCALAR", "-DEDGEC_HALVES_IN_FLOATS")
    return replace(here, isa=isa, memory=core.memory, flags=flags)
