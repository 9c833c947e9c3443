"""Runs what was built beside the reference."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edgec.artifact import RECEIPT, sha256
from edgec.byte_noise import asked_of
from edgec.carried import carried
from edgec.golden import FILE as GOLDEN
from edgec.golden import golden_file
from edgec.image import Image, channel_axis, prepare
from edgec.ir import interp
from edgec.ir.errors import ToolError, UsageError
from edgec.ir.graph import Graph
from edgec.ir.types import Type
from edgec.islands import Open
from edgec.labelled import Labelled, read_labelled
from edgec.narrowed import Narrowed, Run, judged, judged_together, own_least_db, together
from edgec.onnx_import.limits import VERIFY_BYTES
from edgec.onnx_import.reader import check_file
from edgec.options import RUNNER, BuildOptions
from edgec.paired import noise_db, paired, signal_to_noise
from edgec.plan.plan import Plan
from edgec.real_outputs import real_outputs
from edgec.receipt import accuracy
from edgec.reference import Reference
from edgec.runtime.buffers import read_back
from edgec.runtime.errors import RunError
from edgec.runtime.session import Session, load
from edgec.sample_inputs import compared_first, sample_inputs

Array = np.ndarray[Any, Any]


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
class Verified:
    """`facts` are the receipt's `verification` and `accuracy`; `files` go into the artifact (edgec.golden); `noise` is
    the signal to noise of each output against the model, None where there is no noise."""

    facts: dict[str, Any]
    files: dict[str, bytes]
    noise: dict[str, float | str | None]
    calls: Sequence[Call] = ()


@dataclass(frozen=True)
class Call:
    """Inputs by name, and what the outputs must be."""

    feeds: Mapping[str, Array]
    outputs: Mapping[str, Array]


def check_built_from(artifact: Path, model: Path) -> None:
    """UsageError where the artifact was built from another model: what is held against golden.npz alone would pass. A
    package by itself has no receipt, and is compared with whatever is given."""
    check_file(model)
    try:
        built = json.loads((artifact / RECEIPT).read_bytes())["model"]
        given = sha256(model.read_bytes())
    except FileNotFoundError:
        return
    except OSError as error:
        raise UsageError(f"{error.filename} cannot be read: {error.strerror}") from None
    if given != built["sha256"]:
        raise UsageError(
            f"--model {model} is not the model that {artifact} was built from (sha256 {given[:12]}…, and its receipt "
            f"says {built['sha256'][:12]}…): give {built['file']} as it was then, or build from {model.name} again"
        )


def verify_staged(
    folder: Path, model: Path, graph: Graph, options: BuildOptions, images: Mapping[str, Image], plan: Plan,
    narrowed: Narrowed | None, samples: Sequence[Mapping[str, Array]], opened: Open,
) -> Verified:  # fmt: skip
    """Of an artifact in `folder`. ToolError when it cannot be run here."""
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
            return verify_session(session, model, graph, options, images, count, samples=samples)
        with narrowed.meaning(opened) as (meant, islands):
            verified = verify_session(session, model, graph, options, images, count, narrowed, meant, samples)
            _judge_islands(verified.facts["verification"], islands())
            return verified


def verify_session(
    session: Session, model: Path, graph: Graph, options: BuildOptions, images: Mapping[str, Image], count: bool,
    narrowed: Narrowed | None = None, meant: Run | None = None, samples: Sequence[Mapping[str, Array]] = (),
    steps_off: Run | None = None,
) -> Verified:  # fmt: skip
    """`graph` is the imported graph, before any pass or image; `meant` is what a narrowed graph means, if there is
    one, and `steps_off` the same where bytes are off (byte_noise.py). Inputs are those of `samples`,
    evenly spread, and random ones behind them."""
    run, label = reference_for(model, options.consts, graph, images)
    if states := session.manifest.raw.get("carried", {}):
        run = carried(run, graph, states)
    expect, expect_label = run, label
    least_db = own_least_db(graph)
    files: dict[str, bytes] = {}
    if narrowed is not None and meant is not None:
        expect, expect_label, least_db = meant, narrowed.label, narrowed.least_db
    ports = [(t.name, Type(t.dtype, t.shape)) for t in session.inputs]
    names = [t.name for t in session.outputs]
    calls: list[Call] = []
    compared: dict[str, list[tuple[Array, Array]]] = {}
    allowed: dict[str, list[tuple[Array, Array]]] = {}
    pairs: dict[str, list[tuple[Array, Array]]] = {}
    first, real = compared_first(samples, options.verify_inputs), real_outputs(graph)
    for i in range(options.verify_inputs):
        given = first[i : i + 1]
        feeds = {name: read_back(given[0][name], type.numpy) for name, type in ports} if given else None
        feeds = feeds or sample_inputs(ports, options.seed + i, options.ranges)
        expected = expect(feeds)
        wide = expected if narrowed is None else run(feeds)
        if not (states and i):
            session.reset()
        calls.append(Call(feeds, {name: expected[name] for name in names}))
        for name, found in zip(names, session.run(None, feeds), strict=True):
            compared.setdefault(name, []).append((found, expected[name]))
            real_of = real.get(name, np.asarray)
            pairs.setdefault(name, []).append((real_of(found), real_of(wide[name])))
        if steps_off is not None:
            off = steps_off(feeds)
            for name in names:
                allowed.setdefault(name, []).append((off[name], expected[name]))
    asked = {name: min(least_db, asked_of(found)) for name, found in allowed.items()}
    outputs = {name: judged_together(found, least_db, asked.get(name, least_db)) for name, found in compared.items()}
    if narrowed is not None:
        right = all(result["pass"] for result in outputs.values())
        firsts = {name: found[0] for name, found in compared.items() if right}
        files = {GOLDEN: golden_file(calls[0].feeds, calls[0].outputs, _least_of_first(firsts, least_db))}
    calibrated = 0 if options.calib is None else min(len(first), options.verify_inputs)
    result: dict[str, Any] = {
        "executed_on": session.executed_on,
        "reference": expect_label,
        "inputs": options.verify_inputs,
        "calibration_samples": calibrated,  # of these inputs; the others are random ones
        "seed": options.seed if calibrated < options.verify_inputs else None,
        "outputs": outputs,
        "pass": all(o["pass"] for o in outputs.values()),
    }
    noise = {name: _noise(found) for name, found in pairs.items()}
    if narrowed is not None:
        result["against_model"] = {
            "reference": label,
            "signal_to_noise_db": noise,
        }
    if count:
        result["instructions"] = session.instructions
        result["stack_bytes_touched"] = session.stack_bytes
    facts: dict[str, Any] = {"verification": result}
    if options.data is not None:
        facts["accuracy"] = _labelled(session, run, read_labelled(options.data, ports, graph), names[0])
    return Verified(facts, files, noise, calls)


def _least_of_first(firsts: Mapping[str, tuple[Array, Array]], least_db: float) -> float:
    """What the first input by itself must keep, when what all of them keep together will do."""
    levels = (signal_to_noise(*pair) for pair in firsts.values() if not judged(*pair, least_db)["pass"])
    return min((math.floor(level) for level in levels if math.isfinite(level)), default=least_db)


def _judge_islands(verification: dict[str, Any], islands: dict[str, Any]) -> None:
    """No output is right behind an island whose bytes are more than a step off, or a step that reads wrong numbers."""
    verification |= islands
    if not all(found["pass"] for found in islands.values()):
        for result in verification["outputs"].values():
            result["pass"] = False
        verification["pass"] = False


def _noise(pairs: Sequence[tuple[Array, Array]]) -> float | str | None:
    """Signal to noise over all inputs together, as `noise_db` has it."""
    return noise_db(*together(pairs))


def _labelled(session: Session, run: Run, data: Labelled, output: str) -> dict[str, Any]:
    found, expected = [], []
    for feeds in data:
        found.append(session.run([output], feeds)[0].ravel())
        expected.append(run(feeds)[output].ravel())
    scores, wide = np.stack(found), np.stack(expected)
    data.check_classes(scores.shape[1])
    return accuracy(scores, wide, data.labels, session.labels) | paired(scores, wide, data.labels, session.labels)
