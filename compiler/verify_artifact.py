"""Runs what was built beside the reference."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np

from edgec.image import Image, channel_axis, prepare
from edgec.ir import interp
from edgec.ir.errors import ToolError, UsageError
from edgec.ir.graph import Graph, Value
from edgec.ir.types import FLOATS, Type
from edgec.onnx_import.limits import VERIFY_BYTES
from edgec.options import RUNNER, BuildOptions
from edgec.paired import paired, signal_to_noise
from edgec.plan.plan import Plan
from edgec.receipt import accuracy, compare, worse
from edgec.reference import Reference
from edgec.runtime.errors import RunError
from edgec.runtime.session import Session, load
from edgec.sample_inputs import sample_inputs

Array = np.ndarray[Any, Any]
Run = Callable[[Mapping[str, Array]], dict[str, Array]]
ISLAND_DB = 30.0  # signal to noise that outputs behind a float island must keep against the same integers
NARROWING = ("quantize", "quantize_rows", "to_float8")
_MOVES = ("pad", "reshape", "slice", "transpose")
SAME_WEIGHTS = "edgec's interpreter with the same weights"
SAME_FLOAT8 = "edgec's interpreter with the same 8-bit floats"
SAME_INTEGERS = "edgec's interpreter on the same integers"


def reference_for(
    model: Path, consts: Mapping[str, Array], graph: Graph, images: Mapping[str, Image], tensors: Sequence[str] = ()
) -> tuple[Run, str]:
    """The reference's run function and its name: onnxruntime, or our interpreter where that refuses the model. `graph`
    is the imported one. It takes camera frames where the artifact does, and also gives `tensors` (onnxruntime only)."""
    run: Run
    try:
        reference = Reference(model, consts, tensors)
        run, label = reference.run, reference.version
    except ToolError as refused:
        run, label = (lambda feeds: interp.run(graph, feeds)), f"edgec's interpreter ({refused})"
    types = {v.name: v.type for v in graph.inputs}
    axes = {name: channel_axis(name, image, types[name]) for name, image in images.items()}

    def run_prepared(feeds: Mapping[str, Array]) -> dict[str, Array]:
        return run({n: prepare(images[n], x, types[n], axes[n]) if n in images else x for n, x in feeds.items()})

    return (run_prepared if images else run), label


@dataclass(frozen=True)
class Narrowed:
    """A graph of narrower arithmetic than the model's, and samples of real inputs. The artifact must compute what this
    graph means; how far that is from the model is stated, not judged."""

    graph: Graph
    samples: Sequence[Mapping[str, Array]]
    same: str = SAME_INTEGERS

    def has_islands(self) -> bool:
        """Whether bytes are made of floats that were computed: there, the last bit of a float may decide a byte."""
        return any(op.kind in NARROWING and computed(op.arg(0)) for op in self.graph.ops)


def computed(value: Value) -> bool:
    """Made by arithmetic, not only moved from an input or out of bytes."""
    while value.op is not None and value.op.kind in _MOVES:
        value = value.op.arg(0)
    return value.op is not None


def verify_staged(
    folder: Path, model: Path, graph: Graph, options: BuildOptions, images: Mapping[str, Image], plan: Plan,
    narrowed: Narrowed | None = None,
) -> dict[str, Any]:  # fmt: skip
    """The receipt's `verification` and `accuracy` for an artifact in `folder`. ToolError when it cannot be run here."""
    ports = (*plan.inputs, *plan.outputs)
    needed = plan.scratch_bytes + plan.state_bytes + sum(p.type.nbytes for p in ports)
    if needed > VERIFY_BYTES:
        raise ToolError(
            f"verifying takes {needed} bytes; at most {VERIFY_BYTES} are allowed: build with --verify none"
        )
    emulated = (folder / f"{plan.name}.elf").exists()
    try:
        session = load(folder, runner=RUNNER[options.verify], count=emulated)
    except RunError as error:
        raise ToolError(
            f"the artifact cannot be verified here (build with --verify none to go without): {error}"
        ) from None
    with session:
        count = emulated and session.counts
        verification, scored = verify_session(session, model, graph, options, images, count, narrowed)
    return {"verification": verification} if scored is None else {"verification": verification, "accuracy": scored}


def verify_session(
    session: Session, model: Path, graph: Graph, options: BuildOptions, images: Mapping[str, Image], count: bool,
    narrowed: Narrowed | None = None,
) -> tuple[dict[str, Any], dict[str, Any] | None]:  # fmt: skip
    """The receipt's `verification` and `accuracy`. `graph` is the imported graph, before any pass or image."""
    run, label = reference_for(model, options.consts, graph, images)
    meant, meant_label = (run, label) if narrowed is None else (partial(interp.run, narrowed.graph), narrowed.same)
    ports = [(t.name, Type(t.dtype, t.shape)) for t in session.inputs]
    ranges = ranges_of(options, images)
    names = [name for name, _ in graph.outputs]
    judge = _behind_islands if narrowed is not None and narrowed.has_islands() else compare
    outputs: dict[str, Any] = {}
    pairs: dict[str, list[tuple[Array, Array]]] = {}
    for i in range(options.verify_inputs):
        real = narrowed.samples[i : i + 1] if narrowed is not None else ()
        feeds = dict(real[0]) if real else sample_inputs(ports, options.seed + i, ranges)
        expected = meant(feeds)
        wide = expected if narrowed is None else run(feeds)
        session.reset()
        for name, found in zip(names, session.run(None, feeds), strict=True):
            outputs[name] = worse(outputs.get(name), judge(found, expected[name]))
            pairs.setdefault(name, []).append((found, wide[name]))
    result: dict[str, Any] = {
        "executed_on": session.executed_on,
        "reference": meant_label,
        "inputs": options.verify_inputs,
        "seed": options.seed,
        "outputs": outputs,
        "pass": all(o["pass"] for o in outputs.values()),
    }
    if narrowed is not None:
        result["against_model"] = {
            "reference": label,
            "signal_to_noise_db": {name: _noise(found) for name, found in pairs.items()},
        }
    if count:
        result["instructions"] = session.instructions
        result["stack_bytes_touched"] = session.stack_bytes
    scored = None if options.data is None else _labelled(session, run, options.data, ports, names[0])
    return result, scored


def _behind_islands(found: Array, expected: Array) -> dict[str, Any]:
    """As `compare`; where that fails, a byte here and there may be a step off, which is little noise."""
    result = compare(found, expected)
    if not result["pass"] and "max_abs_error" in result:
        noise = signal_to_noise(found, expected)
        result |= {"pass": noise >= ISLAND_DB, "behind_float_islands_db": round(noise, 2)}
    return result


def _noise(pairs: Sequence[tuple[Array, Array]]) -> float | None:
    """Signal to noise over all inputs together; None where it is infinite."""
    found = signal_to_noise(*(np.concatenate([x.ravel() for x in side]) for side in zip(*pairs, strict=True)))
    return round(found, 2) if np.isfinite(found) else None


def ranges_of(options: BuildOptions, images: Mapping[str, Image]) -> dict[str, tuple[float, float]]:
    """Where sample inputs lie: a camera's frame uses all of its bytes, if nothing else is said."""
    return {**dict.fromkeys(images, (0.0, 255.0)), **options.ranges}


def _labelled(
    session: Session, run: Run, data: Path, ports: list[tuple[str, Type]], output: str
) -> dict[str, Any]:
    arrays = read_data(data)
    if "labels" not in arrays and "y" in arrays:
        arrays["labels"] = arrays["y"]
    missing = [n for n in (*(p for p, _ in ports), "labels") if n not in arrays]
    if missing:
        raise UsageError(f"{data} has no array '{missing[0]}'; it needs one an input, and `labels` (or `y`)")
    count = arrays["labels"].size
    short = [n for n in (*(p for p, _ in ports), "labels") if not count or arrays[n].shape[:1] != (count,)]
    if short:
        raise UsageError(f"{data}: '{short[0]}' has the shape {list(arrays[short[0]].shape)} for {count} labels")
    found, expected = [], []
    for i in range(count):
        feeds = {}
        for name, type in ports:
            one = np.asarray(arrays[name][i])
            if one.size != type.size:
                raise UsageError(f"{data}: an item of '{name}' has {one.size} elements, and the model takes {type}")
            if one.dtype.kind == "f" and type.dtype not in FLOATS:
                raise UsageError(f"{data}: '{name}' is {one.dtype}, and the model takes {type}: give bytes")
            feeds[name] = one.reshape(type.dims).astype(type.numpy)
        found.append(session.run([output], feeds)[0].ravel())
        expected.append(run(feeds)[output].ravel())
    scores, wide, labels = np.stack(found), np.stack(expected), np.asarray(arrays["labels"]).ravel()
    return accuracy(scores, wide, labels, session.labels) | paired(scores, wide, labels)


def read_data(path: Path) -> dict[str, Array]:
    """Arrays of an .npz file; UsageError when it is none."""
    try:
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror or error}") from None
    except (ValueError, EOFError, AttributeError, TypeError, BadZipFile, zlib.error, NotImplementedError):
        raise UsageError(f"{path} is not an .npz file of arrays") from None
