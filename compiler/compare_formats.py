"""`edgec compare-formats`: what each number format does to one model on one target (after A. Kuzmin et al., "FP8
Quantization: The Power of the Exponent", 2022, and M. van Baalen et al., "FP8 versus INT8 for Efficient Deep Learning
Inference", 2023: which is better depends on the model, so that it is measured on the user's own).

Every format of options.PRECISIONS is built and verified in a folder that is gone afterwards.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from edgec.driver import build
from edgec.ir.errors import EdgecError, UsageError, VerifyError
from edgec.options import PRECISIONS, BuildOptions
from edgec.paired import ALL_NOISE
from edgec.targets.files import temporary_folder

WIDE = "float32"


@dataclass(frozen=True)
class Row:
    """One format, of a model that is quantised already its own instead of float32; `reason` says why there are no
    numbers. Signal to noise is against the model in onnxruntime, that of the worst output, None where there is no noise
    or no number. `narrow_share`: of the multiply-adds."""

    format: str
    signal_to_noise_db: float | None = None
    accuracy: float | None = None
    newly_wrong: int | None = None
    newly_right: int | None = None
    narrow_share: float | None = None
    weights_bytes: int | None = None
    scratch_bytes: int | None = None
    instructions: int | None = None
    reason: str = ""


def compare_formats(
    model: Path, target: str, options: BuildOptions, formats: Sequence[str] = PRECISIONS,
    progress: Callable[[str], None] = lambda _: None,
) -> list[Row]:  # fmt: skip
    """A row for each format, all on the same inputs. Raises what float32 raises: then there is nothing to compare."""
    unknown = [f for f in formats if f not in PRECISIONS]
    if unknown:
        raise UsageError(f"--format {unknown[0]} is not legal; legal: {', '.join(PRECISIONS)}")
    rows = []
    for format in dict.fromkeys((WIDE, *formats)):
        progress(f"building with {format}")
        with temporary_folder("edgec-formats-") as folder:
            try:
                out = folder / "artifact"
                receipt = build(model, target, out, replace(options, precision=format)).receipt
            except EdgecError as refused:
                # an artifact beyond the tolerance is in the folder that goes now
                wrong = refused.what if isinstance(refused, VerifyError) else None
                if format != WIDE:
                    rows.append(Row(format, reason=wrong or str(refused)))
                    continue
                if wrong is None:
                    raise
                nothing = "there is nothing to compare: edgec build keeps what it built"
                raise VerifyError(f"{WIDE}: {wrong}", nothing) from None
        rows.append(_row(format, receipt))
    return rows


def _row(format: str, receipt: Mapping[str, Any]) -> Row:
    verification, accuracy = receipt.get("verification", {}), receipt.get("accuracy", {})
    levels = verification.get("against_model", {}).get("signal_to_noise_db", {}).values()
    memory = receipt.get("memory") or receipt["package"]
    facts = receipt.get("quantization") or receipt.get("halves") or {}
    own = format == WIDE and facts.get("precision")
    return Row(
        own or format,
        min((float(level) for level in levels if level is not None), default=None),
        accuracy.get("accuracy"),
        accuracy.get("newly_wrong"),
        accuracy.get("newly_right"),
        _share(facts),
        memory["weights_bytes"],
        memory.get("scratch_bytes"),
        verification.get("instructions"),
    )


def _share(facts: Mapping[str, Any]) -> float | None:
    """Of int8, what is in halves beside the bytes is narrow, too."""
    share: float | None = facts.get("coded_macs_share", facts.get("macs_share"))
    return round(share + facts["halves"]["macs_share"], 4) if share is not None and "halves" in facts else share


def table(rows: Sequence[Row]) -> Iterator[str]:
    """The rows as lines for a terminal; a column without any number is left out."""
    columns: list[tuple[str, Callable[[Row], str]]] = [
        ("format", lambda r: r.format),
        ("signal to noise", lambda r: _text(r.signal_to_noise_db, "{:.1f} dB")),
        ("accuracy", lambda r: _text(r.accuracy, "{:.3f}")),
        ("lost/won", lambda r: "" if r.newly_wrong is None else f"{r.newly_wrong}/{r.newly_right}"),
        ("narrow", lambda r: _text(r.narrow_share, "{:.0%}")),
        ("weights", lambda r: _text(r.weights_bytes, "{:,} B")),
        ("scratch", lambda r: _text(r.scratch_bytes, "{:,} B")),
        ("instructions", lambda r: _text(None if r.instructions is None else r.instructions / 1e6, "{:.2f} M")),
    ]
    kept = [(head, cell) for head, cell in columns if any(cell(r) for r in rows)]
    cells = [[head for head, _ in kept], *([cell(r) for _, cell in kept] for r in rows)]
    widths = [max(len(line[i]) for line in cells) for i in range(len(kept))]
    for line, row in zip(cells, [None, *rows], strict=True):
        numbers = "  ".join(text.rjust(width) for text, width in zip(line[1:], widths[1:], strict=True))
        said = row.reason if row is not None and row.reason else numbers
        yield f"{line[0].ljust(widths[0])}  {said}".rstrip()


def _text(value: float | None, form: str) -> str:
    return "" if value is None else form.format(value)


def write_json(rows: Sequence[Row], model: Path, target: str, path: Path) -> None:
    """The rows for other programs."""
    all_noise = {"signal_to_noise_db": ALL_NOISE}
    formats = [asdict(row) | (all_noise if row.signal_to_noise_db == -math.inf else {}) for row in rows]
    facts = {"model": model.name, "target": target, "formats": formats}
    try:
        path.write_text(json.dumps(facts, indent=2, allow_nan=False) + "\n")
    except OSError as error:
        raise UsageError(f"--json {path} cannot be written: {error.strerror}") from None
