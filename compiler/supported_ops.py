"""SUPPORTED_OPS.md: what edgec takes of every ONNX operator, from the importer's tables and the kernels that lower.

    python -m edgec.supported_ops > SUPPORTED_OPS.md
"""

from __future__ import annotations

import sys
from collections.abc import Iterable

from edgec.ir.ops import OPS
from edgec.ir.ops.row_rules import boundary
from edgec.ir.types import DTYPES
from edgec.kernel_table import Kernels, kernel_table
from edgec.onnx_import.reader import OLDEST_OPSET
from edgec.onnx_import.supported import Support, operators
from edgec.route_table import routes_missing
from edgec.target_table import COREML, TARGETS
from edgec.targets.coreml.deployment import choose

COLUMNS = (*TARGETS, COREML)

HEAD = f"""# What edgec takes of ONNX

Written by `python -m edgec.supported_ops > SUPPORTED_OPS.md`; a test compares it with what the code says today.

Opsets {OLDEST_OPSET} to the newest of the installed onnx, and older ones where a model's operators have not changed
since. Shapes are static once `--shape` has bound the symbolic ones.
Operands that must be constant may depend on shapes and on inputs that `--const` binds. Sequences and optionals live
inside a model and not at its border. Strings and complex numbers are refused; tensors of 8-bit floats, of 4 and of 2
bits go wherever ONNX has them. A refusal names the operator, its node and the sentence of this table; all of a model's
refusals come at once, before anything is compiled.

"""
KERNELS = """
## Element types that have kernels

float16 and bfloat16 are computed in float32 and rounded after every operator, where nothing is quantised. A core
operator that is not listed has kernels for every element type that it takes, on every target. Quantised values are int8
on Arm and uint8 on x86.
In Core ML (iOS 18) there are no `f64` and `bf16` at all, and integers have 32 bits: constants that do not fit are
refused, values of a run are not looked at. {cpu_only} are what quantisation makes for CPUs.

| core operator | takes | without kernel |
|---|---|---|
"""

ROW_RULES = """
## Which rows of its operands a row of the result needs

By these rules operators share a block, which makes few rows of each value at a time. A tensor of rank 4 is images of
rows; of any other rank, all axes but the last are rows.

| core operators | rows |
|---|---|
"""


def document() -> str:
    """The whole page."""
    missing = routes_missing(choose(""))
    kernels = {k: Kernels(f.legal, {**f.missing, COREML: missing[k]}) for k, f in kernel_table().items()}
    rows = operators()
    parts = [HEAD, f"| operator | opsets | {' | '.join(COLUMNS)} | what is refused, and notes |\n"]
    parts.append(f"|---|---|{'---|' * len(COLUMNS)}---|\n")
    parts += [_row(support, kernels) for support in rows]
    alone = [kind for kind, found in kernels.items() if _is_for_cpus(found)]
    parts.append(KERNELS.format(cpu_only=", ".join(f"`{kind}`" for kind in alone)))
    lacking = {k: f for k, f in kernels.items() if any(f.missing.values()) and k not in alone}
    parts += [_kernel_row(kind, found) for kind, found in lacking.items()]
    parts.append(ROW_RULES)
    parts += [f"| {', '.join(kinds)} | {rule} |\n" for rule, kinds in _row_rules().items()]
    taken = sum(s.status != "refused" for s in rows)
    parts.append(f"\n{taken} of {len(rows)} operators are taken, by {len(kernels)} core operators.\n")
    return "".join(parts)


def _is_for_cpus(found: Kernels) -> bool:
    cpus = [gaps for target, gaps in found.missing.items() if target != COREML]
    return set(found.missing[COREML]) == set(found.legal) and not any(cpus)


def _row(support: Support, kernels: dict[str, Kernels]) -> str:
    opsets = f"{support.first}–{support.last}" if support.first < support.last else f"{support.first}"
    cells = ["no" if support.status == "refused" else _coverage(support, kernels, target) for target in COLUMNS]
    names = " and ".join(f"`{name}`" for name in support.constants)
    notes = [f"{names} must be constant"] if names else []
    notes += list(support.limits)
    return f"| {support.name} | {opsets} | {' | '.join(cells)} | {'; '.join(notes)} |\n"


def _coverage(support: Support, kernels: dict[str, Kernels], target: str) -> str:
    """`yes`, or the element types for which one of the operators it is made of has no kernel; `no` where one has none
    at all."""
    lacking = [kernels[kind] for kind in support.kinds if kernels[kind].missing[target]]
    if any(set(found.missing[target]) == set(found.legal) for found in lacking):
        return "no"
    gaps = {d for kind in support.kinds for d in kernels[kind].missing[target] if d in support.dtypes}
    return f"not {_types(gaps)}" if gaps else "yes"


def _row_rules() -> dict[str, list[str]]:
    """Sentence of each rule -> the core operators that have it, boundaries last."""
    found: dict[str, list[str]] = {}
    for row in sorted(OPS.values(), key=lambda row: row.rows is boundary):
        said = " ".join((row.rows.__doc__ or "").split()).rstrip(".")
        found.setdefault(said, []).append(row.kind)
    return found


def _types(dtypes: Iterable[str]) -> str:
    chosen = set(dtypes)
    return ", ".join(f"`{d}`" for d in DTYPES if d in chosen)


def _kernel_row(kind: str, found: Kernels) -> str:
    missing = {target: _types(gaps) for target, gaps in found.missing.items() if gaps}
    same = len(set(missing.values())) == 1 and len(missing) == len(COLUMNS)
    text = next(iter(missing.values())) if same else "; ".join(f"{t}: {g}" for t, g in missing.items())
    return f"| {kind} | {_types(found.legal)} | {text} |\n"


if __name__ == "__main__":
    sys.stdout.write(document())
