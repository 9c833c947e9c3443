"""`--precision` and `--encode` of a package: what it computes in, how its weights are stored, how it is judged."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from edgec.byte_noise import CHANCE_DB, rounds
from edgec.codes_of_rows import formats_of
from edgec.image import Image
from edgec.ir.encodings import FLOAT8
from edgec.ir.errors import UsageError
from edgec.ir.graph import Graph, Module, Op
from edgec.ir.types import Type
from edgec.ir.verify import verify_module
from edgec.narrowed import BYTES_DB, HALVES_DB, SAME_INTEGERS, SAME_WEIGHTS, Narrowed, own_least_db
from edgec.options import BuildOptions
from edgec.package_entries import STATES
from edgec.package_int8 import own_bytes, package_int8
from edgec.package_samples import as_taken, package_calibration, samples_for_doctor
from edgec.passes import COREML
from edgec.pipeline import parse_passes, run_pipeline
from edgec.quantised_model import is_quantised, own_precision
from edgec.sample_inputs import compared_first
from edgec.targets.coreml.deployment import Deployment

FLOATS = ("float32", "fp16")
# what --precision means for weights; everything else is computed in halves
CODED = {
    "w8": "quantize_weights",
    "w4": "palettize{bits=4,group=32}",
    "fp8-e4m3": "float8_weights{format=e4m3}",
    "fp8-e5m2": "float8_weights{format=e5m2}",
}
ENCODERS = ("palettize", "sparsify", "quantize_weights", "float8_weights", "mxfp4_weights")
OWN_NAME = "the codes that they have in the model"
ONE_TABLE = "palettize{bits=4}"  # w4 where tables of groups are no form
GROUPED = 18  # from which iOS on they are, and integers in blocks
NESTED = 26  # from which iOS on a scale over a table is one, which 8-bit floats are
BYTES = 17  # from which iOS on there are quantize and dequantize
HALVES = f"signal to noise of {HALVES_DB} dB against the same graph in float32"
BESIDE_BYTES = f"{HALVES}, or the noise of its own rounding to bytes and {CHANCE_DB:g} dB, where that is more"
IN_FLOAT32 = "edgec's interpreter in float32"


@dataclass(frozen=True)
class SettledPackage:
    """`wide` are the operators that compute in float32 beside halves; `facts` go into the receipt; outputs are compared
    on `samples`, those of --calib, first."""

    halves: bool
    wide: Collection[Op] = ()
    narrowed: Narrowed | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)
    samples: Sequence[Mapping[str, Any]] = ()


def check_precision(options: BuildOptions, deployment: Deployment) -> None:
    """UsageError for a precision that packages do not have."""
    legal = (*FLOATS, *CODED, "int8")
    if options.precision not in legal:
        raise UsageError(f"--precision {options.precision} is not for packages; legal: {', '.join(legal)}")
    if options.encode and options.precision not in FLOATS:
        raise UsageError(f"--encode says how weights are stored, and so does --precision {options.precision}: give one")
    others = [name for name in parse_passes(options.encode) if name.partition("{")[0] not in ENCODERS]
    if others:
        raise UsageError(f"--encode {others[0]}: no pass of this name encodes weights; legal: {', '.join(ENCODERS)}")
    if options.calib is not None and (options.package.functions or options.package.variants):
        raise UsageError("--calib has samples of one shape: give one --shape with it, and no --function")
    if options.precision == "int8" and deployment.number < BYTES:
        raise UsageError(f"--precision int8 needs quantize and dequantize, which Core ML has from iOS {BYTES} on: "
                         f"build for coreml:ios{BYTES}, or with --precision w8")  # fmt: skip
    if options.precision == "int8" and (options.package.functions or options.package.variants):
        raise UsageError("--precision int8 takes ranges of one graph: give one --shape, and no --function")
    if options.precision == "int8" and options.package.states and deployment.number >= STATES:
        raise UsageError("--precision int8 takes ranges of single calls, and a state goes on: leave out --state, or "
                         "build with --precision w8")  # fmt: skip
    if options.fix and options.precision == "float32":
        raise UsageError("--fix keeps in float32 what halves break: give --precision fp16 with it")


def _check_as_quantised(options: BuildOptions) -> None:
    """UsageError for numbers that a model which is quantised already has by itself."""
    said = f"--precision {options.precision}" if options.precision not in FLOATS else "--encode"
    if options.precision not in FLOATS or options.encode:
        raise UsageError(
            f"{said}: the model is quantised already, by scales of its own; leave it out, or give --precision fp16, "
            "which computes in halves between its bytes"
        )


def settle_package(
    module: Module, deployment: Deployment, options: BuildOptions, images: Mapping[str, Image],
    progress: Callable[[str], None],
) -> SettledPackage:  # fmt: skip
    """Runs the passes over an imported module."""
    graph = next(iter(module.entries.values()))
    quantised = own_precision(graph) if is_quantised(graph) else None
    if quantised is not None:
        _check_as_quantised(options)
    effects = run_pipeline(module, COREML)
    facts: dict[str, Any] = {"passes": {n: {"went": dict(e.went), "came": dict(e.came)} for n, e in effects.items()}}
    if quantised is not None:
        facts["quantization"] = own_bytes(graph, quantised)
    encode = options.encode or CODED.get(options.precision, "")
    if options.precision == "w4" and deployment.number < GROUPED:
        encode = ONE_TABLE
    own = not encode and options.precision in FLOATS and bool(module.narrow)
    later = ""
    if own:
        encode, later = _own_encoders(formats_of(module.narrow), deployment.number)
        facts["encoded"] = {"passes": f"{OWN_NAME}, {later}", "weights": {}}
    if encode:
        progress(f"encoding weights: {encode}")
        idle = _run_encoders(module, parse_passes(encode))
        verify_module(module, after=encode)
        name = ", ".join(filter(None, (OWN_NAME, later))) if own else encode
        facts["encoded"] = {"passes": name, "weights": _encoded(graph)}
        facts["encoded"] |= {"without_effect": idle} if options.encode and idle else {}
    samples: Sequence[Mapping[str, Any]] = ()
    if options.precision == "int8" or options.calib is not None:
        data = package_calibration(module, options, images, progress)
        samples = data.samples
    if options.precision == "int8":
        data.check_varied()
        progress(f"calibrating on {len(samples)} samples")
        made = package_int8(module, deployment, as_taken(graph, images, samples), options.observer)
        facts["quantization"] = {**made, "calibration": {**data.facts(), "observer": made["observer"]}}
    halves = options.precision != "float32"
    wide: Collection[Op] = ()
    if options.fix:
        samples = samples or samples_for_doctor(module, options, images, progress)
        taken = as_taken(graph, images, compared_first(samples, options.verify_inputs))
        wide, facts["fp16"] = _mended(module, deployment, taken, options.verify_inputs, progress)
    meant = IN_FLOAT32 if halves else SAME_WEIGHTS
    narrowed = None  # of a package in float32 with the model's own weights
    if halves:
        narrowed = Narrowed(graph, meant, HALVES_DB)
        facts |= {"tolerance": BESIDE_BYTES} if rounds(graph) else {}
    elif encode and not own:
        narrowed = Narrowed(graph, meant, own_least_db(graph))
    elif "widen_quantised" in effects:  # onnxruntime rounds to halves here and there
        on_bytes = any(v.type.encodings for op in graph.ops for v in op.results)
        label, least = (SAME_INTEGERS, BYTES_DB) if on_bytes else (meant, math.inf)
        narrowed = Narrowed(graph, label, least)
    return SettledPackage(halves, wide, narrowed, facts, samples if options.calib is not None else ())


def _run_encoders(module: Module, passes: Sequence[str]) -> list[str]:
    """Those that found no weights to encode: others were there first, or there are none."""
    idle = []
    for name in passes:
        before = _constants(module)
        run_pipeline(module, (name,))
        idle += [name] if _constants(module) == before else []
    return idle


def _constants(module: Module) -> list[tuple[str, Type]]:
    read = (v for graph in module.entries.values() for op in graph.ops for v in op.inputs if v is not None)
    return [(v.const, v.type) for v in read if v.const is not None]


def _own_encoders(formats: Sequence[str], number: int) -> tuple[str, str]:
    """Passes that find weights of few bits again after all others, for an iOS, and what is a form later only."""
    passes, later = [], []
    for format in formats:
        if format == "e2m1":
            passes += [f"mxfp4_weights{{group={group},exact=1}}" for group in (32, 16) if number >= NESTED]
            later += [] if number >= NESTED else [f"which is a form from iOS {NESTED} on"]
        elif format in FLOAT8:
            nested = int(number >= NESTED)
            forms = [f"format={format},per=tensor", f"format={format},tables={nested}"]
            forms += [f"format={format},group={group}" for group in (32, 16) if nested]
            passes += [f"float8_weights{{{form},exact=1}}" for form in forms]
            later += [] if nested else [f"8-bit floats in blocks are a form from iOS {NESTED} on"]
        else:
            forms = [f"format={format},group={group}" for group in (32, 16) if number >= GROUPED]
            forms = [f"format={format},group=0", *forms] if format == "i8" else forms
            passes += [f"quantize_weights{{{form},exact=1}}" for form in forms]
            later += [] if number >= GROUPED else [f"which is a form from iOS {GROUPED} on"]
    return ",".join(passes), "; ".join(dict.fromkeys(later))


def _mended(
    module: Module, deployment: Deployment, samples: Sequence[Mapping[str, Any]], verified: int,
    progress: Callable[[str], None],
) -> tuple[Collection[Op], dict[str, Any]]:  # fmt: skip
    from edgec.fp16_doctor import operators_to_widen

    progress(f"looking for what halves break, on {len(samples)} samples")
    found, wide = operators_to_widen(module, deployment, samples, verified)
    kept = [op.label for op in module.entries["main"].ops if op in wide]
    return wide, {"samples": len(samples), "found": [f.facts() for f in found.findings], "kept_in_float32": kept}


def _encoded(graph: Graph) -> dict[str, int]:
    """How many weights have each form."""
    values = {v for op in graph.ops for v in op.inputs if v is not None and v.const is not None and v.type.encodings}
    forms = Counter(" ".join(type(e).__name__.lower() for e in v.type.encodings) for v in values)
    return dict(sorted(forms.items()))
