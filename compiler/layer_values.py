"""Values inside a running artifact: each result of its graph, as the artifact's own code makes it.

The artifact's source is compiled once more with hooks (targets/c/watch.h) that stop before each call and behind rows of
blocks, where values are copied out of the memory that plan.json says they lie in: nothing is computed otherwise than in
the library that ships, blocks and rings included. What a block never makes stays unknown.
"""

from __future__ import annotations

import json
import struct
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from edgec.compiled_again import compiled_again
from edgec.ir.errors import ToolError, UsageError
from edgec.ir.origin import Origin, Scaled
from edgec.ir.rows import row_view
from edgec.ir.types import DTYPES
from edgec.onnx_import.limits import VERIFY_BYTES
from edgec.plan_facts import FILE as PLAN
from edgec.runtime.errors import RunError
from edgec.runtime.manifest import Manifest
from edgec.runtime.session import load
from edgec.runtime.watch import Watched

Array = np.ndarray[Any, Any]
_MEMORY = ("input", "output", "state", "scratch", "weights")  # pointers of `memory` in the source


@dataclass(frozen=True)
class LayerValue:
    """A result of the operator `op`. `known` says which elements were made; None: all."""

    op: str
    dtype: str
    origin: Origin | None
    scaled: Scaled | None
    stored: Array
    known: Array | None

    @property
    def real(self) -> Array:
        """What the tensor's numbers are, in double precision."""
        return self.scaled.of(self.stored) if self.scaled is not None else self.stored.astype(np.float64)


@dataclass(frozen=True)
class Seen:
    """`outputs` are those of the library that ships; `as_shipped` says whether the source gave the same bits."""

    layers: Sequence[LayerValue]
    outputs: Mapping[str, Array]
    executed_on: str
    as_shipped: bool


def layer_facts(manifest: Manifest) -> list[dict[str, Any]]:
    """What plan.json says of layers; RunError for an artifact of a time when it said nothing."""
    if "package" in manifest.raw:
        raise RunError(
            f"{manifest.directory} holds a Core ML package, and layers are compared of libraries; edgec doctor MODEL "
            "says where a package in halves parts from one in float32"
        )
    path = manifest.directory / PLAN
    facts = json.loads(path.read_bytes()) if PLAN in manifest.files else {}
    if "layers" not in facts:
        raise RunError(f"{manifest.directory} was built by an edgec that did not say where layers lie: build it again")
    layers: list[dict[str, Any]] = facts["layers"]
    return layers


def layer_values(manifest: Manifest, feeds: Mapping[str, Array], runner: str | None) -> Seen:
    """For one call of the artifact, its state as at the beginning."""
    facts = layer_facts(manifest)
    needed = sum(int(np.prod(f["dims"])) * DTYPES[f["dtype"]].itemsize for f in facts)
    if needed > VERIFY_BYTES:
        raise ToolError(f"layers of {manifest.directory} take {needed} bytes; at most {VERIFY_BYTES} are allowed")
    names = [t.name for t in manifest.outputs]
    with load(manifest.directory, runner=runner) as session:
        executed_on = session.executed_on
        if not hasattr(session.runner, "watch"):
            raise UsageError(
                f"layers are seen on the host or in the emulator, and {manifest.directory} runs on {executed_on}"
            )
        shipped = session.run(None, feeds)
    with compiled_again(manifest, "watch") as folder, load(folder, runner=runner, verify_files=False) as session:
        recorder = _Recorder(session.runner, facts)  # type: ignore[arg-type]  # it has `watch`, as the first one has
        again = session.run(None, feeds)
    same = all(x.tobytes() == y.tobytes() for x, y in zip(shipped, again, strict=True))
    return Seen(recorder.values(), dict(zip(names, shipped, strict=True)), executed_on, same)


class _Recorder:
    """Copies layers out of memory: a Watcher."""

    def __init__(self, runner: Watched, facts: Sequence[dict[str, Any]]) -> None:
        self._runner = runner
        self._facts = facts
        self._at: dict[tuple[int, int | None], list[dict[str, Any]]] = defaultdict(list)
        self._arrays: dict[int, Array] = {}
        self._known: dict[int, Array] = {}
        self._call = 0
        for fact in facts:
            view = row_view(fact["dims"] or (1,))
            self._at[fact["step"], fact["stage"]].append(fact)
            self._arrays.setdefault(fact["number"], np.zeros(view.dims, DTYPES[fact["dtype"]]))
            self._known.setdefault(fact["number"], np.zeros(view.dims, np.bool_))
        runner.watch(self)

    def step(self, call: int, memory: int) -> None:
        for fact in self._at.get((call - 1, None), ()):
            images, rows = self._arrays[fact["number"]].shape[:2]
            for image in range(images):
                self._copy(fact, memory, 0, image, 0, rows)
        self._call = call

    def rows(self, stage: int, memory: int, slot: int, image: int, y0: int, y1: int) -> None:
        for fact in self._at.get((self._call, stage), ()):
            self._copy(fact, memory, slot, image, y0, y1)

    def _copy(self, fact: dict[str, Any], memory: int, slot: int, image: int, y0: int, y1: int) -> None:
        """Rows y0 … y1 of an image."""
        array, known, at = self._arrays[fact["number"]], self._known[fact["number"]], fact["at"]
        _, _, columns, width = array.shape
        if at["depth"]:
            y0 = max(y0, y1 - at["depth"])  # rows that no reader needs are overwritten at once
        first, count = fact["channels"] or (0, width)
        nbytes = columns * count * array.itemsize
        start = self._base(at, memory) + slot * at["slot"] + image * at["image"]
        part = (image, slice(y0, y1), slice(None), slice(first, first + count))
        if at["row"] == nbytes and not at["depth"]:
            raw = self._runner.peek(start + y0 * nbytes, (y1 - y0) * nbytes)
        else:
            ys = [y % at["depth"] if at["depth"] else y for y in range(y0, y1)]
            raw = b"".join(self._runner.peek(start + y * at["row"], nbytes) for y in ys)
        array[part] = np.frombuffer(raw, array.dtype).reshape(y1 - y0, columns, count)
        known[part] = True

    def _base(self, at: dict[str, Any], memory: int) -> int:
        pointers = dict(zip(_MEMORY, struct.unpack("<5Q", self._runner.peek(memory, 40)), strict=True))
        base: int = pointers[at["space"]]
        if at["space"] in ("input", "output"):
            (base,) = struct.unpack("<Q", self._runner.peek(base + 8 * at["index"], 8))
        return base + int(at["offset"])

    def values(self) -> list[LayerValue]:
        """In the order in which they were made; nothing of what no call made."""
        found = []
        for fact in {fact["number"]: fact for fact in self._facts}.values():
            array, known = (v[fact["number"]].reshape(fact["dims"]) for v in (self._arrays, self._known))
            if known.any():
                found.append(_value(fact, array, None if known.all() else known))
        return found


def _value(fact: dict[str, Any], stored: Array, known: Array | None) -> LayerValue:
    views = tuple((str(kind), tuple(given)) for kind, given in fact["views"])
    origin = None if fact["tensor"] is None else Origin(fact["tensor"], views)
    scaled = None if fact["scale"] is None else Scaled(tuple(fact["scale"]), fact["zero"])
    return LayerValue(fact["op"], fact["dtype"], origin, scaled, stored, known)
