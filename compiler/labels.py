"""`--labels FILE`: names of the classes, one a line in UTF-8, for the last axis of the model's first output."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgec.ir.errors import UsageError
from edgec.plan.plan import Port
from edgec.targets.c.emit import Identity
from edgec.targets.c.emit_labels import emit_labels

FILE = "labels.txt"


def read_labels(path: Path) -> tuple[str, ...]:
    """The labels in order; UsageError when the file is none of labels."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise UsageError(f"--labels {path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise UsageError(f"--labels {path} is not UTF-8 text with one label a line") from None
    labels = tuple(line.strip() for line in text.rstrip().split("\n"))
    for number, label in enumerate(labels, start=1):
        if not label or "\0" in label:
            raise UsageError(f"--labels {path}: line {number} holds no label; write one label a line")
    return labels


def check_labels(path: Path, labels: tuple[str, ...], output: Port) -> None:
    """UsageError unless there is one label for each class."""
    classes = output.type.dims[-1] if output.type.rank else 1
    if len(labels) != classes:
        raise UsageError(
            f"--labels {path} has {len(labels)} lines, and the output '{output.name}' {output.type} has "
            f"{classes} classes: one line for each is needed"
        )


@dataclass(frozen=True)
class Named:
    """What labels add to the artifact's files and to its manifest."""

    files: dict[str, bytes]
    manifest: dict[str, Any]


def label_files(path: Path | None, labels: tuple[str, ...], name: str, output: Port, identity: Identity) -> Named:
    """Nothing without labels; UsageError unless there is one for each class of `output`."""
    if path is None:
        return Named({}, {})
    check_labels(path, labels, output)
    text = "".join(f"{label}\n" for label in labels).encode()
    files = {FILE: text, f"{name}_labels.h": emit_labels(name, labels, identity).encode()}
    return Named(files, {"labels": {"file": FILE, "output": output.name, "classes": len(labels)}})
