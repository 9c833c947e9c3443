"""Instruction sets that the kernels are written for, as plain data."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Isa:
    """`lanes`: floats in a vector register; `registers`: vector registers; `broadcast_load`: an FMA may take a scalar
    from memory as its broadcast operand (x86), so that the left operand of a GEMM needs no registers; `byte`: dtype of
    quantised values, `edgec_q8`; `dot`: there is an instruction that adds four products of bytes to each lane;
    `mmla`: one that multiplies matrices of them, 2x8 by 8x2; `amx`: tiles that do, 16x64 by 64x16; `half_lanes`: halves
    in a vector register where there is arithmetic on them, else 0; `bf16_products`: of bf16, that one instruction adds
    to sums in float32, 0 where there is none; `float8_products`: the same of 8-bit floats."""

    name: str
    lanes: int
    registers: int
    broadcast_load: bool
    byte: str
    dot: bool = False
    mmla: bool = False
    amx: bool = False
    half_lanes: int = 0
    bf16_products: int = 0
    float8_products: int = 0


SCALAR = Isa("scalar", 4, 16, False, "i8")
NEON = Isa("neon", 4, 32, False, "i8")
AVX2 = Isa("avx2", 8, 16, True, "u8")
AVX512 = Isa("avx512", 16, 32, True, "u8")
