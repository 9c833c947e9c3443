"""Features of this machine's CPU, by the names of /proc/cpuinfo."""

from __future__ import annotations

from pathlib import Path

from edgec.runtime.errors import RunError

# Compilers' names -> the kernel's, where they differ.
_KERNEL_NAMES = {
    "neon": "asimd",
    "dotprod": "asimddp",
    "fp16": "asimdhp",
    "fullfp16": "asimdhp",
    "fp16fml": "asimdfhm",
    "lse": "atomics",
    "crc": "crc32",
    "avx512vnni": "avx512_vnni",
    "avx512bf16": "avx512_bf16",
    "avx512fp16": "avx512_fp16",
    "avx512vbmi2": "avx512_vbmi2",
    "avx512bitalg": "avx512_bitalg",
    "avx512vpopcntdq": "avx512_vpopcntdq",
    "avxvnni": "avx_vnni",
    "sse3": "pni",
    "sse4.1": "sse4_1",
    "sse4.2": "sse4_2",
    "lzcnt": "abm",
    "amx-int8": "amx_int8",
    "amx-tile": "amx_tile",
    "amx-bf16": "amx_bf16",
}


def cpu_features(cpuinfo: Path = Path("/proc/cpuinfo")) -> frozenset[str] | None:
    """The features that every core has; None where the system does not say."""
    try:
        lines = cpuinfo.read_text().splitlines()
    except OSError:
        return None
    fields = [line.partition(":") for line in lines]
    cores = [set(value.split()) for key, _, value in fields if key.strip() in ("flags", "Features")]
    return frozenset(set.intersection(*cores)) if cores else None


def missing_features(needed: tuple[str, ...], have: frozenset[str]) -> list[str]:
    return [feature for feature in needed if _KERNEL_NAMES.get(feature, feature) not in have]


def check_features(name: str, needed: tuple[str, ...], have: frozenset[str] | None) -> None:
    """RunError when this CPU lacks a feature; better than an illegal instruction."""
    if have is None:
        return
    missing = missing_features(needed, have)
    if missing:
        raise RunError(f"{name} was built for a CPU with {', '.join(missing)}, which this machine lacks")
