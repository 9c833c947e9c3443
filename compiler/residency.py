"""Which operators of a package are known to leave the Neural Engine, and why: a reading of its program beside the table
of targets/coreml/residency.toml. It says nothing of where an operator runs that is not named: only a device can.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from edgec.runtime.coreml.package import Package
from edgec.runtime.coreml.program import Block, Operation, TensorType, Value, ValueType
from edgec.targets.coreml.residency import Known, residency

Types = Mapping[str, ValueType]
# operators that say how things are, and compute nothing when the model runs
SILENT = ("const", "identity", "read_state", "write_state", "classify", "cast")
SPATIAL = ("conv", "conv_transpose", "max_pool", "avg_pool", "l2_pool")


@dataclass(frozen=True)
class Leaves:
    """`operators` are names of results; `source` is the address where it is said."""

    kind: str
    why: str
    source: str
    operators: tuple[str, ...]

    def facts(self) -> dict[str, Any]:
        return {"kind": self.kind, "count": len(self.operators), "why": self.why, "source": self.source,
                "operators": list(self.operators)}  # fmt: skip


def leaving(package: Package) -> tuple[int, list[Leaves]]:
    """How many operators compute, in all functions together, and those that are known to leave, by kind and reason."""
    found: dict[tuple[str, Known], list[str]] = {}
    count, halves = 0, False
    table = residency()
    for function in package.program.functions.values():
        types: dict[str, ValueType] = {named.name: named.type for named in function.inputs}
        for op in _operations(function.block, types):
            if op.type in SILENT:
                continue
            constexpr = op.type.startswith("constexpr_")
            count += not constexpr
            halves |= not constexpr and any(str(t.dtype) == "fp16" for t in _results(op))
            name = op.outputs[0].name if op.outputs else op.type
            if op.type in table.operators:
                found.setdefault((op.type, table.operators[op.type]), []).append(name)
                continue
            for known in table.forms:
                if constexpr == (known.subject == "four_bit_blocks") and CHECKS[known.subject](op, types, known.most):
                    found.setdefault((op.type, known), []).append(name)
                    break
    rows = [Leaves(kind, _why(known, halves), known.source, tuple(names)) for (kind, known), names in found.items()]
    return count, rows


def _why(known: Known, halves: bool) -> str:
    return known.why if halves or not known.advice else f"{known.why}: {known.advice}"


def residency_facts(package: Package) -> dict[str, Any]:
    """For the receipt."""
    count, rows = leaving(package)
    return {"operators": count, "known_to_leave": [row.facts() for row in rows]}


def _operations(block: Block, types: dict[str, ValueType]) -> Iterator[Operation]:
    """In order, those of nested blocks too; `types` grows with them."""
    for op in block.operations:
        for inner in op.blocks:
            types.update({named.name: named.type for named in inner.inputs})
            yield from _operations(inner, types)
        types.update({named.name: named.type for named in op.outputs})
        yield op


def _operand(op: Operation, name: str, types: Types) -> TensorType | None:
    """Type of the first argument of an operand, where it is a tensor."""
    given = op.inputs.get(name, ())
    if not given:
        return None
    found = given[0].type if isinstance(given[0], Value) else types.get(given[0])
    return found if isinstance(found, TensorType) else None


def _results(op: Operation) -> list[TensorType]:
    return [named.type for named in op.outputs if isinstance(named.type, TensorType)]


def _tensors(op: Operation, types: Types) -> list[TensorType]:
    """Results, and the operands that have data."""
    operands = [_operand(op, name, types) for name in ("x", "y", "query", "key", "value", "weight")]
    return [*_results(op), *(t for t in operands if t is not None)]


def _in_float32(op: Operation, types: Types, most: int) -> bool:
    return any(str(t.dtype) == "fp32" for t in _results(op))


def _integers(op: Operation, types: Types, most: int) -> bool:
    return any(str(t.dtype) == "int32" for t in _results(op))


def _rank(op: Operation, types: Types, most: int) -> bool:
    return any(len(t.dims) > most for t in _tensors(op, types))


def _three_dimensional(op: Operation, types: Types, most: int) -> bool:
    return op.type in SPATIAL and any(len(t.dims) == 5 for t in _results(op))


def _kernel_width(op: Operation, types: Types, most: int) -> bool:
    weight = _operand(op, "weight", types)
    return op.type in ("conv", "conv_transpose") and weight is not None and (weight.dims[-1] or 0) > most


def _extent(op: Operation, types: Types, most: int) -> bool:
    """Heights and widths, and the length over which a matmul adds."""
    if op.type in ("matmul", "linear"):
        x = _operand(op, "x", types)
        return x is not None and bool(x.dims) and (x.dims[-1] or 0) > most
    return any((d or 0) > most for t in _results(op) if len(t.dims) >= 4 for d in t.dims[2:])


def _channels(op: Operation, types: Types, most: int) -> bool:
    return any((t.dims[1] or 0) > most for t in _results(op) if len(t.dims) >= 3)


def _indices(op: Operation, types: Types, most: int) -> bool:
    if op.type not in ("reduce_argmax", "reduce_argmin"):
        return False
    x = _operand(op, "x", types)
    return x is not None and any((d or 0) > most for d in x.dims)


def _batch(op: Operation, types: Types, most: int) -> bool:
    return op.type in SPATIAL and any((t.dims[0] or 0) > most for t in _results(op))


def _four_bit_blocks(op: Operation, types: Types, most: int) -> bool:
    data = _operand(op, "data", types)
    scale = _operand(op, "scale", types)
    four = data is not None and str(data.dtype) in ("int4", "uint4")
    return op.type == "constexpr_blockwise_shift_scale" and four and scale is not None


CHECKS: dict[str, Callable[[Operation, Types, int], bool]] = {
    "computes_in_float32": _in_float32,
    "integers": _integers,
    "rank": _rank,
    "three_dimensional": _three_dimensional,
    "kernel_width": _kernel_width,
    "extent": _extent,
    "channels": _channels,
    "indices": _indices,
    "batch": _batch,
    "four_bit_blocks": _four_bit_blocks,
}
