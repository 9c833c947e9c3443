"""`--precision`: the passes that settle a graph, and for narrower arithmetic what stands in for float32."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from edgec.calibration import Calibration, read_calibration
from edgec.dynamic_int8 import dynamic_int8
from edgec.image import Image
from edgec.ir.graph import Module
from edgec.options import BuildOptions
from edgec.passes import BEFORE_ENCODING, CPU_FLOAT
from edgec.pipeline import Effect, run_pipeline
from edgec.static_float8 import FORMATS, static_float8
from edgec.static_int8 import static_int8
from edgec.targets.c.devices import Device
from edgec.verify_artifact import SAME_FLOAT8, SAME_WEIGHTS, Narrowed, ranges_of
from edgec.weight_only import WEIGHT_ONLY, weight_only


@dataclass(frozen=True)
class Settled:
    """What passes did, what the receipt says of narrower arithmetic, and how that is verified (None: as float32)."""

    effects: Mapping[str, Effect]
    facts: Mapping[str, Any] = field(default_factory=dict)
    narrowed: Narrowed | None = None


def settle(
    module: Module, device: Device, options: BuildOptions, images: Mapping[str, Image], progress: Callable[[str], None]
) -> Settled:
    """Runs the passes over an imported module; it is what the target computes afterwards."""
    if options.precision == "float32":
        return Settled(run_pipeline(module, CPU_FLOAT))
    if options.precision in WEIGHT_ONLY:
        effects = run_pipeline(module, CPU_FLOAT)
        data = _calibration(module, options, images, progress) if options.calib is not None else None
        facts = {"quantization": weight_only(module, options.precision, data, options.low_rank)}
        samples = data.samples if data is not None else ()
        return Settled(effects, facts, Narrowed(module.entries["main"], samples, SAME_WEIGHTS))
    if options.precision == "int8-dynamic":
        effects = run_pipeline(module, CPU_FLOAT)
        facts = {"quantization": dynamic_int8(module, device)}
        return Settled(effects, facts, Narrowed(module.entries["main"], ()))
    data = _calibration(module, options, images, progress)
    if options.precision in FORMATS:
        effects = run_pipeline(module, CPU_FLOAT)
        progress(f"calibrating on {len(data.samples)} samples")
        facts = {"quantization": static_float8(module, options.precision, data, options.low_rank)}
        return Settled(effects, facts, Narrowed(module.entries["main"], data.samples, SAME_FLOAT8))
    effects = run_pipeline(module, BEFORE_ENCODING)
    progress(f"calibrating on {len(data.samples)} samples")
    facts = {"quantization": static_int8(module, device, data, options.observer, options.precision)}
    return Settled(effects, facts, Narrowed(module.entries["main"], data.samples))


def _calibration(
    module: Module, options: BuildOptions, images: Mapping[str, Image], progress: Callable[[str], None]
) -> Calibration:
    graph = module.entries["main"]
    types = {v.name: v.type for v in graph.inputs if v not in {s.input for s in graph.states}}
    data = read_calibration(
        options.calib, types, options.calib_samples, options.seed, ranges_of(options, images), images
    )
    if data.warning:
        progress(f"WARNING: {data.warning}")
    return data
