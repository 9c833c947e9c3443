"""Runs what was built beside the reference."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np

from edgec.image import Image, channel_axis, prepare
from edgec.ir import interp
from edgec.ir.errors import ToolError, UsageError
from edgec.ir.graph import Graph
from edgec.ir.types import FLOATS, Type
from edgec.islands import Open, island_ends, islands_of
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
Judge = Callable[[Array, Array], dict[str, Any]]
SAME_INTEGERS = "edgec's interpreter on the same integers"
SAME_HALVES = "edgec's interpreter on the same halves"
HALVES_DB = 30.0  # signal to noise that sums in halves must keep beside it: their rounding alone leaves 34 and more


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
    graph means, as `judge` has it; how far that is from the model is stated, not judged. `label` says what means it."""

    graph: Graph
    samples: Sequence[Mapping[str, Array]]
    label: str = SAME_INTEGERS
    judge: Judge = compare

    @contextmanager
    def meaning(self, opened: Open) -> Iterator[tuple[Run, Callable[[], dict[str, Any]]]]:
        """What outputs mean for inputs, and afterwards what the receipt says of float islands, if there are any."""
        ends = island_ends(self.graph)
        if not ends:
            yield partial(interp.run, self.graph), dict
            return
        with islands_of(self.graph, ends, opened) as islands:
            yield islands.run, lambda: {"float_islands": islands.facts()}


def in_halves(graph: Graph, samples: Sequence[Mapping[str, Array]]) -> Narrowed:
    """As near as sums in halves come: the interpreter rounds once an operator, kernels each time they add."""
    return Narrowed(graph, samples, SAME_HALVES, _compare_halves)


def _compare_halves(found: Array, expected: Array) -> dict[str, Any]:
    """As `compare`; where that fails, finite numbers may differ by little noise."""
    result = compare(found, expected)
    if not result["pass"] and "max_abs_error" in result:
        noise = signal_to_noise(found, expected)
        result |= {"pass": noise >= HALVES_DB, "halves_db": round(noise, 2)}
    return result


def verify_staged(
    folder: Path, model: Path, graph: Graph, options: BuildOptions, images: Mapping[str, Image], plan: Plan,
    narrowed: Narrowed | None, opened: Open,
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
        if narrowed is None:
            verification, scored = verify_session(session, model, graph, options, images, count)
        else:
            with narrowed.meaning(opened) as (meant, islands):
                verification, scored = verify_session(session, model, graph, options, images, count, narrowed, meant)
                _judge_islands(verification, islands())
    return {"verification": verification} if scored is None else {"verification": verification, "accuracy": scored}


def verify_session(
    session: Session, model: Path, graph: Graph, options: BuildOptions, images: Mapping[str, Image], count: bool,
    narrowed: Narrowed | None = None, meant: Run | None = None,
) -> tuple[dict[str, Any], dict[str, Any] | None]:  # fmt: skip
    """The receipt's `verification` and `accuracy`. `graph` is the imported graph, before any pass or image; `meant` is
    what a narrowed graph means, if there is one."""
    run, label = reference_for(model, options.consts, graph, images)
    expect, expect_label = (run, label) if narrowed is None or meant is None else (meant, narrowed.label)
    judge = compare if narrowed is None else narrowed.judge
    ports = [(t.name, Type(t.dtype, t.shape)) for t in session.inputs]
    ranges = ranges_of(options, images)
    names = [name for name, _ in graph.outputs]
    outputs: dict[str, Any] = {}
    pairs: dict[str, list[tuple[Array, Array]]] = {}
    for i in range(options.verify_inputs):
        real = narrowed.samples[i : i + 1] if narrowed is not None else ()
        feeds = dict(real[0]) if real else sample_inputs(ports, options.seed + i, ranges)
        expected = expect(feeds)
        wide = expected if narrowed is None else run(feeds)
        session.reset()
        for name, found in zip(names, session.run(None, feeds), strict=True):
            outputs[name] = worse(outputs.get(name), judge(found, expected[name]))
            pairs.setdefault(name, []).append((found, wide[name]))
    result: dict[str, Any] = {
        "executed_on": session.executed_on,
        "reference": expect_label,
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


def _judge_islands(verification: dict[str, Any], islands: dict[str, Any]) -> None:
    """No output is right behind an island whose bytes are more than a step off."""
    verification |= islands
    if islands and not islands["float_islands"]["pass"]:
        for result in verification["outputs"].values():
            result["pass"] = False
        verification["pass"] = False


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
