"""What `edgec diff` prints: facts that differ, where the artifacts part, and the layers from there on."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from edgec.diff import Diff, Row
from edgec.diff_facts import Fact
from edgec.ir.errors import UsageError

SHOWN = 6  # most channels and layers that are named in a line


def lines(found: Diff, first: str, second: str) -> Iterator[str]:
    yield from _facts([Fact("", f"A: {first}", f"B: {second}"), *found.facts])
    for note in found.notes:
        yield f"note: {note}"
    yield ""
    differing = next((i for i, row in enumerate(found.rows) if row.largest), None)
    parting = found.parting
    if differing is None:
        yield f"alike: {len(found.rows)} layers and outputs, bit by bit"
    elif parting is None:
        worst = max(found.rows, key=lambda row: row.share)
        yield f"alike within the tolerance: {len(found.rows)} layers and outputs; the largest difference is in"
        yield f"  {_layer(worst)}, {_said(worst)}"
    else:
        yield f"they part first at {_layer(parting)}, channel {parting.beyond[0]}{_others(parting)}"
        yield f"  by {_said(parting)}; {_share(parting.tolerance)} is allowed"
    yield from _alone("A", [layer.op for layer in found.first_alone])
    yield from _alone("B", [layer.op for layer in found.second_alone])
    if differing is not None:
        yield ""
        yield from _table(found.rows[differing:], len(found.rows) - differing, len(found.rows))


def _said(row: Row) -> str:
    """The largest difference of a layer."""
    steps = "" if row.steps is None else f"{row.steps} step{'s' if row.steps != 1 else ''} of a byte, "
    return f"{steps}{row.largest:.3g} at {list(row.index)}, {_share(row.share)} of the largest magnitude"


def _layer(row: Row) -> str:
    return row.op if row.tensor is None else f"{row.op} (tensor '{row.tensor}')"


def _others(row: Row) -> str:
    """How many channels of the layer part."""
    if len(row.beyond) == 1:
        return f", it alone of {row.channels}"
    named = ", ".join(map(str, row.beyond[:SHOWN])) + (" …" if len(row.beyond) > SHOWN else "")
    return f", the first of {len(row.beyond)} of {row.channels}: {named}"


def _share(share: float) -> str:
    return f"{share:.2%}" if share >= 1e-3 else f"{share:.1e}" if share else "nothing"


def _alone(side: str, ops: Sequence[str]) -> Iterator[str]:
    if ops:
        named = "; ".join(ops[:SHOWN]) + (" …" if len(ops) > SHOWN else "")
        yield f"layers of {side} alone: {len(ops)}: {named}"


def _facts(facts: Sequence[Fact]) -> Iterator[str]:
    widths = [max(len(text) for text in column) for column in zip(*((f.name, f.first) for f in facts), strict=True)]
    for fact in facts:
        yield f"{fact.name:{widths[0]}}  {fact.first:{widths[1]}}  {fact.second}"


def _table(rows: Sequence[Row], shown: int, total: int) -> Iterator[str]:
    """`*` stands before layers beyond the tolerance."""
    yield f"from the first difference on, {shown} of {total}; * beyond the tolerance"
    yield f"  {'dB':>7}  {'largest':>9}  {'steps':>5}  {'channel':>7}  {'A':>4}  {'B':>4}  layer"
    for row in rows:
        level = "exact" if row.signal_to_noise_db == math.inf else f"{row.signal_to_noise_db:.1f}"
        largest = _share(row.share) if row.largest else ""
        steps = "" if row.steps is None or not row.largest else str(row.steps)
        channel = str(row.channel) if row.largest else ""
        layer = row.op if row.op == row.other_op else f"{row.op} / {row.other_op.split(' ')[0]}"
        mark = "*" if row.beyond else " "
        kinds = "  ".join(f"{kind:>4}" for kind in row.kinds)
        yield f"{mark} {level:>7}  {largest:>9}  {steps:>5}  {channel:>7}  {kinds}  {layer}"


def write_json(found: Diff, path: Path) -> None:
    """The same for other programs; signal to noise is null where there is no noise."""

    def row(r: Row) -> dict[str, Any]:
        level = r.signal_to_noise_db if math.isfinite(r.signal_to_noise_db) else None
        return asdict(r) | {"signal_to_noise_db": level, "share": r.share if math.isfinite(r.share) else None,
                            "largest": r.largest if math.isfinite(r.largest) else None}  # fmt: skip

    facts = {
        "alike": found.parting is None,
        "first": None if found.parting is None else row(found.parting),
        "facts": [asdict(fact) for fact in found.facts],
        "layers": [row(r) for r in found.rows],
        "first_alone": [layer.op for layer in found.first_alone],
        "second_alone": [layer.op for layer in found.second_alone],
        "notes": list(found.notes),
    }
    try:
        path.write_text(json.dumps(facts, indent=1, ensure_ascii=False, allow_nan=False) + "\n")
    except OSError as error:
        raise UsageError(f"--json {path} cannot be written: {error.strerror}") from None
