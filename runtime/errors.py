"""What can go wrong when an artifact is loaded or run: one sentence, for the user."""

from __future__ import annotations


class RunError(Exception):
    """An artifact could not be loaded or returned an error code, or the arrays given to it do not fit."""

    exit_code = 7
