"""Looking into the memory of a model while it runs: for artifacts whose source was compiled once more with hooks.

The hooks are functions of the compiled code (targets/c/watch.h); each runner hands their calls to a Watcher, with
addresses that its own `peek` reads.
"""

from __future__ import annotations

from typing import Protocol

STEP = "edgec_watch_step"  # (call, memory)
ROWS = "edgec_watch_rows"  # (stage, memory, slot, image, y0, y1)


class Watcher(Protocol):
    def step(self, call: int, memory: int) -> None:
        """Calls before number `call` are done; `memory` is the address of five pointers: to the pointers to inputs and
        outputs, to the state, scratch memory and weights."""

    def rows(self, stage: int, memory: int, slot: int, image: int, y0: int, y1: int) -> None:
        """A stage of the block that is the current call made rows y0 … y1 of an image, as the caller `slot`."""


class Watched(Protocol):
    """A runner that can be looked into."""

    def watch(self, watcher: Watcher) -> None:
        """From the next run on."""

    def peek(self, address: int, nbytes: int) -> bytes:
        """What is in memory there, during a run."""
