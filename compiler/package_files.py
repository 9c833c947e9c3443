"""What lies beside a package in its artifact: Swift, a test with golden arrays, labels; and what it says of itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import Any

from edgec.artifact import sha256
from edgec.labels import FILE as LABELS
from edgec.made import Request
from edgec.targets.apple.features import Feature, Interface, Presentation
from edgec.targets.apple.metadata import metadata_of
from edgec.targets.coreml.deployment import Deployment
from edgec.targets.coreml.swift import file_stem, wrapper
from edgec.targets.coreml.swift_golden import Call, Golden, golden_files
from edgec.verify_artifact import Call as Made

CLOSE = 1e-3  # share of the largest element that Core ML's own sums of float32 may be off
HALVES_CLOSE = 5e-2  # the same of sums in halves
HALVES_SPREAD = 2.0  # times what they are off in the evaluator, where that is more: bytes beside halves are steps off
MOST_CALLS = 3  # that show how a state goes on; without states, one is enough


def presentation_of(request: Request, colors: Mapping[str, str]) -> Presentation:
    """Labels, pictures, and metadata with the model's hash and edgec's version."""
    facts = {
        "edgec.version": version("edgec"),
        "edgec.model": request.model.name,
        "edgec.model.sha256": sha256(request.model.read_bytes()),
        "edgec.precision": request.options.encode or request.options.precision,
    }
    return Presentation(metadata_of(request.options.package.metadata, facts), request.labels, colors)


def swift_files(
    name: str, interfaces: Sequence[Interface], calls: Mapping[str, Sequence[Made]], deployment: Deployment,
    halves: bool, off: float,
) -> dict[str, bytes]:  # fmt: skip
    """The wrapper; with `calls` (by function), a test of them and its arrays. `off`: the largest error that
    verification saw, as a share of its output's largest element."""
    by = f"made by edgec {version('edgec')}"
    files = {f"{file_stem(name)}.swift": wrapper(name, interfaces, deployment, by).encode()}
    if calls:
        tolerance = max(HALVES_CLOSE, HALVES_SPREAD * off) if halves else CLOSE
        golden = {
            interface.function: Golden(
                [Call(c.feeds, c.outputs) for c in calls[interface.function][: MOST_CALLS if interface.states else 1]],
                tolerance,
            )
            for interface in interfaces
        }
        files |= golden_files(name, interfaces, golden, deployment, by)
    return files


def label_files(labels: tuple[str, ...], interface: Interface) -> tuple[dict[str, bytes], dict[str, Any]]:
    """The labels as a file, and what the manifest says of them. Nothing without labels."""
    if interface.classifier is None:
        return {}, {}
    text = "".join(f"{label}\n" for label in labels).encode()
    return {LABELS: text}, {"labels": {"file": LABELS, "output": interface.classifier.output, "classes": len(labels)}}


def port_of(feature: Feature) -> dict[str, Any]:
    """As a caller of the model sees it, and its name and dtype in the package. A picture is a frame of bytes."""
    dtype, shape = feature.dtype, [] if feature.scalar else list(feature.shape)
    if feature.color:
        n, channels, height, width = shape
        dtype, shape = "u8", [n, height, width, channels]
    return {"name": feature.name, "dtype": dtype, "shape": shape, "feature": feature.feature, "stored": feature.stored}
