"""What a sweep over ONNX's operator cases found: its command line, its counts, and the list of what must be right."""

from __future__ import annotations

import argparse
import random
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sweep import operator_cases

Cases = Mapping[str, Any]


@dataclass(frozen=True)
class Verdict:
    """`kind` is right, wrong or refused; `text` says why."""

    kind: str
    text: str = ""
    bound: bool = False


Sweep = Callable[[Cases, str], dict[str, Verdict]]


@dataclass(frozen=True)
class RightList:
    """`path` holds the names of cases that must be right, as the script `tool` wrote them; `test` insists on it."""

    path: Path
    tool: str
    test: str

    def names(self) -> list[str]:
        return [line for line in self.path.read_text().splitlines() if line and not line.startswith("#")]

    def write(self, verdicts: Mapping[str, Verdict]) -> None:
        head = f"# What {self.tool} --write found right; tests/conformance/{self.test} insists on it.\n"
        self.path.write_text(head + "".join(f"{name}\n" for name, v in verdicts.items() if v.kind == "right"))

    def check_slice(self, sweep: Sweep, target: str, seed: int, size: int) -> None:
        """A seeded selection is right still."""
        chosen = set(random.Random(seed).sample(self.names(), size))
        cases = operator_cases()
        verdicts = sweep({name: cases[name] for name in self.names() if name in chosen}, target)
        failures = [f"{v.kind} {name}: {v.text}" for name, v in verdicts.items() if v.kind != "right"]
        assert not failures, "\n".join(failures)
        assert len(verdicts) == size

    def check_aim(self, aim: int) -> None:
        names = self.names()
        assert len(set(names)) == len(names) >= aim
        assert set(names) <= set(operator_cases())

    def check_all(self, sweep: Sweep, target: str) -> None:
        verdicts = sweep(operator_cases(), target)
        assert [f"{name}: {v.text}" for name, v in verdicts.items() if v.kind == "wrong"] == []
        found = {name for name, v in verdicts.items() if v.kind == "right"}
        assert sorted(set(self.names()) - found) == [], "these were right before"
        assert sorted(found - set(self.names())) == [], f"these are new: run {self.tool} --write"


def run(arguments: Sequence[str], about: str | None, sweep: Sweep, target: str, right: RightList) -> int:
    """The script: counts, what `--list` asks for, and the list with `--write`; 1 where something is wrong."""
    parser = argparse.ArgumentParser(description=about)
    parser.add_argument("--list", choices=("right", "wrong", "refused"), action="append", default=[])
    parser.add_argument("--target", default=target)
    parser.add_argument("--write", action="store_true")
    parser.add_argument("names", nargs="*")
    options = parser.parse_args(arguments)
    if options.write and options.names:
        parser.error("--write needs all cases: give no NAME with it")
    started = time.monotonic()
    names = options.names or [""]
    chosen = {name: case for name, case in operator_cases().items() if any(part in name for part in names)}
    verdicts = sweep(chosen, options.target)
    for name, verdict in verdicts.items():
        if verdict.kind in options.list:
            print(f"{verdict.kind:8}{name}: {verdict.text}"[:300], flush=True)
    counts = Counter(v.kind for v in verdicts.values())
    bound = sum(v.kind == "right" and v.bound for v in verdicts.values())
    print(
        f"{counts['right']} right ({bound} of them with inputs bound), {counts['wrong']} wrong, "
        f"{counts['refused']} refused of {len(verdicts)} in {time.monotonic() - started:.0f} s"
    )
    if options.write:
        right.write(verdicts)
    return 1 if counts["wrong"] else 0
