"""What can go wrong, as types: one root, a few leaves.

A message is one sentence that names the culprit (the operator and its ONNX node, the option, the file), the rule it
breaks and what would be legal. The command line prints it after `edgec: ` and exits with the leaf's code.
"""

from __future__ import annotations


class EdgecError(Exception):
    """Root of every error that edgec raises on purpose."""

    exit_code = 1


class UsageError(EdgecError):
    """A wrong option, name, shape or file given by the user."""

    exit_code = 2


class ModelError(EdgecError):
    """The ONNX model is broken, over a limit, or asks for something that edgec cannot import."""

    exit_code = 3


class UnsupportedError(ModelError):
    """Operators or forms that edgec does not support; `reasons` lists all of them, one sentence each."""

    exit_code = 4

    def __init__(self, reasons: list[str]) -> None:
        self.reasons = reasons
        head = f"{len(reasons)} unsupported: " if len(reasons) > 1 else "unsupported: "
        super().__init__(head + "; ".join(reasons))


class IRError(EdgecError):
    """A graph breaks a rule of the IR: a bad text file, or a defect of a pass."""

    exit_code = 5


class ToolError(EdgecError):
    """A tool or an optional extra is missing or failed (zig, unicorn, a compiler)."""

    exit_code = 6


class RunError(EdgecError):
    """An artifact could not be loaded or returned an error code, or its inputs do not fit."""

    exit_code = 7


class VerifyError(EdgecError):
    """An artifact was built but does not compute what the reference computes within the tolerance."""

    exit_code = 8
