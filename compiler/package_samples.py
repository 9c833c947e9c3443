"""Samples of a package's inputs: frames as apps give them, and as the graph takes them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from edgec.calibration import Calibration, read_calibration
from edgec.image import Image
from edgec.ir.graph import Graph, Module
from edgec.ir.types import Type
from edgec.options import BuildOptions
from edgec.picture import planes_of
from edgec.sample_inputs import sample_inputs

Array = np.ndarray[Any, Any]
Samples = Sequence[Mapping[str, Array]]
CHANNELS = 1  # the axis of channels of a picture's planes


def package_calibration(
    module: Module, options: BuildOptions, images: Mapping[str, Image], progress: Callable[[str], None]
) -> Calibration:
    """The samples of --calib, or random ones with a warning; pictures are frames u8 [1, H, W, C]."""
    types = _types(module, images)
    data = read_calibration(options.calib, types, options.calib_samples, options.seed, options.ranges, images)
    if data.warning:
        progress(f"WARNING: {data.warning}")
    return data


def _types(module: Module, images: Mapping[str, Image]) -> dict[str, Type]:
    """What apps give, by input."""
    graph = next(iter(module.entries.values()))
    states = {s.input for s in graph.states}
    return {
        v.name: images[v.name].frame(v.type.dims, CHANNELS) if v.name in images else v.type
        for v in graph.inputs if v not in states
    }  # fmt: skip


def samples_for_doctor(
    module: Module, options: BuildOptions, images: Mapping[str, Image], progress: Callable[[str], None]
) -> Samples:
    """Those of --calib, or the very random ones that verification takes; pictures are frames."""
    if options.calib is not None:
        return package_calibration(module, options, images, progress).samples
    ports = list(_types(module, images).items())
    return [sample_inputs(ports, options.seed + i, options.ranges) for i in range(options.verify_inputs)]


def as_taken(graph: Graph, images: Mapping[str, Image], samples: Samples) -> Samples:
    """Frames become planes of 0 to 255."""
    types = {v.name: v.type for v in graph.inputs}
    return [
        {name: planes_of(images[name], x, types[name]) if name in images else x for name, x in sample.items()}
        for sample in samples
    ]
