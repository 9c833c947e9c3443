"""What coremltools logs while it works, and nobody asked for."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def silent(level: int) -> Iterator[None]:
    """Nothing is logged up to this level; afterwards, what was logged before is again."""
    before = logging.root.manager.disable
    logging.disable(max(before, level))
    try:
        yield
    finally:
        logging.disable(before)
