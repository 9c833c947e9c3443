"""`--precision`: the passes that settle a graph, and for narrower arithmetic what stands in for float32."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from edgec.bf16_products import bf16_products
from edgec.bounds import MakeBound, MostDrop, MostError, share
from edgec.calibration import Calibration, read_calibration
from edgec.dynamic_int8 import dynamic_int8
from edgec.finite_weights import check_finite
from edgec.float8_products import float8_products
from edgec.forms_within import Wanted
from edgec.half_precision import half_precision
from edgec.image import Image
from edgec.ir.errors import UsageError
from edgec.ir.graph import Graph, Module
from edgec.labelled import read_labelled
from edgec.narrowed import Narrowed, in_bf16, in_halves, on_float8, on_integers, on_rows, with_coded_weights
from edgec.options import BuildOptions
from edgec.own_codes import count_bytes, keep_codes
from edgec.passes import BEFORE_ENCODING, CPU_FLOAT
from edgec.passes.recognize_float8 import has_float8
from edgec.pipeline import Effect, run_pipeline
from edgec.quantised_model import is_quantised, settle_quantised
from edgec.sample_inputs import sample_inputs
from edgec.static_float8 import FORMATS, static_float8
from edgec.static_int8 import static_int8
from edgec.static_w4a8 import static_w4a8
from edgec.targets.c.devices import Device
from edgec.weight_only import WEIGHT_ONLY, weight_only

RANDOM_SAMPLES = 3  # where no --calib is given to fp16


@dataclass(frozen=True)
class Settled:
    """What passes did, what the receipt says of narrower arithmetic, how that is verified (None: as float32), and the
    samples of --calib, on which it is."""

    effects: Mapping[str, Effect]
    facts: Mapping[str, Any] = field(default_factory=dict)
    narrowed: Narrowed | None = None
    samples: Sequence[Mapping[str, Any]] = ()


def settle(
    module: Module, device: Device, options: BuildOptions, images: Mapping[str, Image], progress: Callable[[str], None]
) -> Settled:
    """Runs the passes over an imported module; it is what the target computes afterwards."""
    graph = module.entries["main"]
    if (is_quantised(graph) or has_float8(graph)) and options.precision != "float32":
        raise UsageError(
            f"--precision {options.precision}: the model is quantised already, by scales of its own; leave it out"
        )
    check_finite(graph, options.precision)
    data = None if options.calib is None else _calibration(module, options, images, progress)
    settled = _settled(module, device, options, images, progress, data)
    return settled if data is None else replace(settled, samples=data.samples)


def _settled(
    module: Module, device: Device, options: BuildOptions, images: Mapping[str, Image],
    progress: Callable[[str], None], data: Calibration | None,
) -> Settled:  # fmt: skip
    """`data` is what --calib names."""
    graph = module.entries["main"]
    floats_in_bytes = has_float8(graph)
    if is_quantised(graph):
        effects, facts = settle_quantised(module, device)
        return Settled(effects, {"quantization": facts}, on_integers(graph))
    if options.precision == "float32":
        count_bytes(module)
        effects = run_pipeline(module, CPU_FLOAT)
        facts = {"quantization": keep_codes(module)} if module.narrow else {}
        if floats_in_bytes:
            return Settled(effects, facts, on_float8(graph))
        # onnxruntime rounds to halves what weights of few bits stand for
        return Settled(effects, facts, with_coded_weights(graph) if "widen_quantised" in effects else None)
    if options.precision == "bf16":
        effects = run_pipeline(module, CPU_FLOAT)
        wanted = _wanted(module, options, images, progress, data)
        return Settled(effects, {"halves": bf16_products(module, device, wanted)}, in_bf16(graph))
    if options.precision == "fp16":
        return _halves(module, device, options, images, progress, data)
    if options.precision in WEIGHT_ONLY:
        return _coded_weights(module, device, options, images, progress, data)
    if options.precision == "int8-dynamic":
        effects = run_pipeline(module, CPU_FLOAT)
        wanted = _wanted(module, options, images, progress, data)
        facts = {"quantization": dynamic_int8(module, device, options.force, wanted, data)}
        return Settled(effects, facts, on_rows(graph))
    data = data or _calibration(module, options, images, progress)
    data.check_varied()
    if options.precision in FORMATS:
        effects = run_pipeline(module, CPU_FLOAT)
        progress(f"calibrating on {len(data.samples)} samples")
        wanted = _wanted(module, options, images, progress, data)
        lanes = device.isa.lanes
        facts = {"quantization": static_float8(module, options.precision, data, options.low_rank, wanted, lanes)}
        facts["quantization"] |= float8_products(module, device)
        return Settled(effects, facts, on_float8(graph))
    effects = run_pipeline(module, BEFORE_ENCODING)
    progress(f"calibrating on {len(data.samples)} samples")
    bounded = _bound(options, graph, data) if options.bounds else None
    if options.precision == "w4a8":
        facts = {"quantization": static_w4a8(module, device, data, options.observer, bounded)}
        return Settled(effects, facts, on_integers(graph))
    facts = {"quantization": static_int8(module, device, data, options.observer, options.force, bounded, options.whole)}
    return Settled(effects, facts, on_integers(graph))


def _halves(
    module: Module, device: Device, options: BuildOptions, images: Mapping[str, Image],
    progress: Callable[[str], None], data: Calibration | None,
) -> Settled:  # fmt: skip
    """Samples are those of --calib, or random ones: they only say which values are beyond what halves hold."""
    graph = module.entries["main"]
    ports = [(v.name, v.type) for v in graph.inputs if v not in {s.input for s in graph.states}]
    drawn = (sample_inputs(ports, options.seed + i, options.ranges) for i in range(RANDOM_SAMPLES))
    samples = data.samples if data else list(drawn)
    effects = run_pipeline(module, CPU_FLOAT)
    progress(f"measuring values on {len(samples)} samples")
    wanted = _wanted(module, options, images, progress, data)
    facts = half_precision(module, device, samples, replace(wanted, core=device) if wanted else None)
    looked_at = data or (wanted.data if wanted else None)
    facts["calibration"] = looked_at.facts() if looked_at else None
    return Settled(effects, {"halves": facts}, in_halves(graph))


def _wanted(
    module: Module, options: BuildOptions, images: Mapping[str, Image], progress: Callable[[str], None],
    read: Calibration | None = None,
) -> Wanted | None:  # fmt: skip
    """The bound, if there is one, of formats that need no samples but for it; `read` are those that are there."""
    if not options.bounds:
        return None
    data = read or _calibration(module, options, images, progress)
    progress(f"measuring what is lost on {len(data.samples)} samples")
    return Wanted(data, _bound(options, module.entries["main"], data))


def _bound(options: BuildOptions, graph: Graph, data: Calibration) -> MakeBound:
    """What --max-drop or --max-error asks for; labelled items are those of --calib."""
    if options.max_drop is not None:
        ports = [(v.name, v.type) for v in graph.inputs]
        most, items = share("--max-drop", options.max_drop), read_labelled(Path(str(options.calib)), ports, graph)
        return lambda wide: MostDrop(most, items, wide)
    allowed = share("--max-error", str(options.max_error))
    return lambda wide: MostError(allowed, data.judges, wide)


def _coded_weights(
    module: Module, device: Device, options: BuildOptions, images: Mapping[str, Image],
    progress: Callable[[str], None], data: Calibration | None,
) -> Settled:  # fmt: skip
    """Samples are those of --calib; without them, weights are rounded to nearest."""
    effects = run_pipeline(module, CPU_FLOAT)
    wanted = _wanted(module, options, images, progress, data)
    facts = {"quantization": weight_only(module, options.precision, data, options.low_rank, wanted, device.isa.lanes)}
    return Settled(effects, facts, with_coded_weights(module.entries["main"]))


def _calibration(
    module: Module, options: BuildOptions, images: Mapping[str, Image], progress: Callable[[str], None]
) -> Calibration:
    """The samples of --calib, or random ones with a warning. The nearness of outputs is promised on those that nothing
    was learned from; for accuracy, which takes many labelled items to show, all of them count."""
    graph = module.entries["main"]
    types = {v.name: v.type for v in graph.inputs if v not in {s.input for s in graph.states}}
    data = read_calibration(options.calib, types, options.calib_samples, options.seed, options.ranges, images)
    if data.warning:
        progress(f"WARNING: {data.warning}")
    return replace(data, held_out=options.max_error is not None)
