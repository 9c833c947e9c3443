"""What can go wrong, as types: one root, a few leaves.

A message is one sentence that names the culprit (the operator and its ONNX node, the option, the file), the rule it
breaks and what would be legal. The command line prints it after `edgec: ` and exits with the leaf's code.
"""

from __future__ import annotations

from collections import Counter

LONGEST = 20_000  # characters of a message; names in it may come from a file
TOLD = 100  # reasons that UnsupportedError tells in full


def one_sentence(text: str) -> str:
    """The text on one line: what a terminal would not print (line breaks, escapes, marks of direction) is spelled."""
    if len(text) > LONGEST:
        text = text[:LONGEST] + "…"
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "replace").decode("ascii") for c in text)


class EdgecError(Exception):
    """Root of every error that edgec raises on purpose."""

    exit_code = 1

    def __init__(self, message: str) -> None:
        super().__init__(one_sentence(message))


class UsageError(EdgecError):
    """A wrong option, name, shape or file given by the user."""

    exit_code = 2


class ModelError(EdgecError):
    """The ONNX model is broken, over a limit, or asks for something that edgec cannot import."""

    exit_code = 3


class UnsupportedError(ModelError):
    """Operators or forms that edgec does not support; `reasons` has all of them, one sentence each, beginning with the
    operator. Beyond the first hundred the message counts operators."""

    exit_code = 4

    def __init__(self, reasons: list[str]) -> None:
        self.reasons = reasons
        head = f"{len(reasons)} unsupported: " if len(reasons) > 1 else "unsupported: "
        more = Counter(reason.split(" ")[0] for reason in reasons[TOLD:])
        tail = "; and " + ", ".join(f"{n} more of {kind}" for kind, n in sorted(more.items())) if more else ""
        super().__init__(head + "; ".join(reasons[:TOLD]) + tail)


class IRError(EdgecError):
    """A graph breaks a rule of the IR: a bad text file, or a defect of a pass."""

    exit_code = 5


class IndexBeyond(IRError):
    """An index that is computed from the inputs lies beyond what it points into."""


class ToolError(EdgecError):
    """A tool or an optional extra is missing or failed (zig, unicorn, a compiler)."""

    exit_code = 6


class ReferenceFails(ToolError):
    """onnxruntime takes the model, and not these inputs."""


class RunError(EdgecError):
    """An artifact could not be loaded or returned an error code, or its inputs do not fit."""

    exit_code = 7


class VerifyError(EdgecError):
    """An artifact was built but does not compute what the reference computes within the tolerance; `what` is the
    message without `left`, which says where the artifact is."""

    exit_code = 8

    def __init__(self, what: str, left: str = "") -> None:
        self.what = one_sentence(what)
        super().__init__(f"{what}; {left}" if left else what)
