"""What a part of a graph says when Core ML cannot express it."""

from __future__ import annotations


class NoRoute(Exception):
    """An operator that Core ML cannot express, in words that follow the operator's name: `is not ...`."""
