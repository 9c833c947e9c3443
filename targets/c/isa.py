"""Instruction sets that the kernels are written for, as plain data."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Isa:
    """`lanes`: floats in a vector register; `registers`: vector registers; `broadcast_load`: an FMA may take a scalar
    from memory as its broadcast operand (x86), so that the left operand of a GEMM needs no registers."""

    name: str
    lanes: int
    registers: int
    broadcast_load: bool


SCALAR = Isa("scalar", 4, 16, False)
NEON = Isa("neon", 4, 32, False)
AVX2 = Isa("avx2", 8, 16, True)
AVX512 = Isa("avx512", 16, 32, True)
