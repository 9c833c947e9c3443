"""Many mutants through the worker: what became of each, and a summary."""

from __future__ import annotations

import re
import tempfile
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hostile.limited import Limited
from hostile.mutate import Mutant, mutants


@dataclass
class Campaign:
    """`crashes` are (mutant, verdict); `survivors` imported and can be built."""

    verdicts: Counter[tuple[bool, str]] = field(default_factory=Counter)
    builds: Counter[str] = field(default_factory=Counter)
    sentences: Counter[str] = field(default_factory=Counter)
    crashes: list[tuple[str, Mutant, dict[str, Any]]] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)  # builds
    survivors: list[Mutant] = field(default_factory=list)
    slowest: float = 0.0
    largest: int = 0

    def summary(self) -> str:
        kinds = [f"{'structured' if s else 'bytes'} {kind} {n}" for (s, kind), n in sorted(self.verdicts.items())]
        lines = [f"{sum(self.verdicts.values())} mutants: {', '.join(kinds)}"]
        if self.builds:
            lines.append(f"{sum(self.builds.values())} builds: {', '.join(f'{k} {n}' for k, n in self.builds.items())}")
        lines += [f"refused to build {text}" for text in self.refused]
        lines.append(f"slowest {self.slowest:.2f} s of CPU, largest {self.largest / (1 << 20):.0f} MB")
        lines += [f"CRASH in {what}: {m.name}: {v['text']}" for what, m, v in self.crashes]
        return "\n".join(lines)


def run(count: int, seed: int, builds: int, keep: Path | None = None) -> Campaign:
    """Import `count` mutants; build the `builds` first survivors that are not what they were made of."""
    found = Campaign()
    with tempfile.TemporaryDirectory(prefix="mutants-") as temporary, Limited() as limited:
        path = Path(temporary) / "m.onnx"
        for mutant in mutants(count, seed):
            path.write_bytes(mutant.content)
            verdict = limited.ask("import", path, mutant.shapes)
            found.verdicts[mutant.structured, verdict["kind"]] += 1
            found.slowest, found.largest = max(found.slowest, verdict["cpu"]), max(found.largest, verdict["rss"])
            if verdict["kind"] == "ok":
                found.survivors.append(mutant)
            elif verdict["kind"] == "refused":
                found.sentences[re.sub(r"'[^']*'|-?\d+", "_", verdict["text"])] += 1
            else:
                note(found, "import", mutant, verdict, keep)
    # structure-aware ones first: a flipped byte of a weight makes a model that is only different in its numbers
    for mutant in sorted(found.survivors, key=lambda m: not m.structured)[:builds]:
        build(found, mutant, keep)
    return found


def build(found: Campaign, mutant: Mutant, keep: Path | None) -> None:
    """Import, passes, C, compiler, verification; afterwards there is a whole artifact or nothing at all."""
    with tempfile.TemporaryDirectory(prefix="mutants-") as temporary, Limited() as limited:
        path, output = Path(temporary) / "m.onnx", Path(temporary) / "out"
        path.write_bytes(mutant.content)
        verdict = limited.ask("build", path, mutant.shapes, output=str(output), cpu=60)
        left = sorted(p.name for p in Path(temporary).iterdir())
        whole = {"ok": ["m.onnx", "out"], "refused": ["m.onnx"]}.get(verdict["kind"])
        if verdict.get("exit") == 8:
            whole = ["m.onnx", "out.failed"]
        if whole is not None and left != whole:
            verdict = {"kind": "crash", "text": f"left {left} after {verdict['text']}"}
        found.builds[verdict["kind"] + (f" {verdict['exit']}" if "exit" in verdict else "")] += 1
        if verdict["kind"] == "refused":
            found.refused.append(f"{mutant.name}: {verdict['text']}")
        if verdict["kind"] == "crash":
            note(found, "build", mutant, verdict, keep)


def note(found: Campaign, what: str, mutant: Mutant, verdict: dict[str, Any], keep: Path | None) -> None:
    found.crashes.append((what, mutant, verdict))
    if keep is not None:
        keep.mkdir(parents=True, exist_ok=True)
        (keep / f"{what}-{len(found.crashes):04d}.onnx").write_bytes(mutant.content)
        (keep / f"{what}-{len(found.crashes):04d}.txt").write_text(
            f"{mutant.name}\n{mutant.shapes}\n{verdict.get('trace', verdict['text'])}"
        )
