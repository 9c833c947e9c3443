"""The whole compiler on one screen: ONNX -> Module -> passes -> what the target makes of it -> run -> receipt.

What stands between the import and the artifact is `library.py` for CPUs (Plan, C, libraries) and `core_ml.py` for
Apple's devices (MIL, package).
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgec.artifact import MANIFEST, RECEIPT, check_output, hashes, sha256, to_json, with_hashes, write_artifact
from edgec.build_key import build_key, unchanged
from edgec.core_ml import check_core_ml_options, make_package
from edgec.image import parse_image, use_images
from edgec.ir.errors import VerifyError
from edgec.labels import read_labels
from edgec.library import make_library
from edgec.made import Request
from edgec.onnx_import.importer import import_model
from edgec.onnx_import.options import ImportOptions
from edgec.onnx_import.reader import check_file
from edgec.options import BuildOptions, check_options
from edgec.report import FILE as REPORT
from edgec.report import report
from edgec.sample_inputs import bytes_explained, check_ranges
from edgec.target_table import TARGETS, choose_target
from edgec.targets.c.toolchain import zig
from edgec.targets.coreml.deployment import Deployment


@dataclass(frozen=True)
class BuildResult:
    directory: Path
    receipt: dict[str, Any]
    cached: bool


def build(
    model: Path, target: str, output: Path, options: BuildOptions, progress: Callable[[str], None] = lambda _: None
) -> BuildResult:
    """Compiles `model` for `target` (`arm`, `arm:cortex-a76`, `host`, `coreml:ios18` …) into the folder `output`.

    Raises a leaf of EdgecError; then an older artifact in `output` is as it was."""
    # what can be refused before anything is computed
    family, device = choose_target(target)
    check_options(options, family)
    images = {name: parse_image(name, form) for name, form in options.images.items()}
    labels = () if options.labels is None else read_labels(options.labels)
    check_output(output)
    check_file(model)
    if isinstance(device, Deployment):
        check_core_ml_options(options, device)
    else:
        platform = TARGETS[family].platform(options.os)
        zig()
    key = build_key(model, target, device, options)
    if not options.rebuild and (found := unchanged(output, key)) is not None:
        return BuildResult(output, found, cached=True)

    progress(f"importing {model.name}")
    imported = ImportOptions(options.shapes, options.consts)
    module = import_model(model, imported)
    graph = module.entries["main"]
    ports = [(v.name, v.type) for v in graph.inputs]
    check_ranges(ports, options.ranges)

    request = Request(model, target, family, options, imported, images, labels, key, progress)
    with bytes_explained(ports, options.ranges):
        if isinstance(device, Deployment):
            made = make_package(module, request, device)
        else:
            use_images(graph, images)
            made = make_library(module, request, device, platform)

    files, receipt = dict(made.files), dict(made.receipt)
    receipt["artifact"] = {"files": len(files), "sha256": sha256(to_json(hashes(files)))}
    files |= {RECEIPT: to_json(receipt), REPORT: report(receipt, made.page)}
    files[MANIFEST] = to_json(with_hashes(made.manifest, files))
    _deliver(output, files, receipt, options)
    return BuildResult(output, receipt, cached=False)


def _deliver(output: Path, files: dict[str, bytes], receipt: dict[str, Any], options: BuildOptions) -> None:
    """The artifact in its place; beside it, and VerifyError, when an output is beyond the tolerance."""
    outputs = receipt.get("verification", {}).get("outputs", {})
    beyond = [name for name, result in outputs.items() if not result["pass"]]
    failed = output.with_name(output.name + ".failed")
    if not beyond:
        write_artifact(output, files)
        if (failed / MANIFEST).is_file():  # of an older build, which this one has made good
            shutil.rmtree(failed, ignore_errors=True)
        return
    write_artifact(failed, files)
    layer = next((f", first in {x['op']}" for x in receipt.get("layers", ()) if not x["pass"]), "")
    advice = _advice(options) if receipt.get("package", {}).get("compute") == "fp16" else ""
    what = f"output '{beyond[0]}' is beyond the tolerance{layer}"
    raise VerifyError(what, f"what was built is in {failed}{advice}")


def _advice(options: BuildOptions) -> str:
    """What there is to do about halves of a package that was not done."""
    if options.fix:
        return ", and --fix found nothing more to keep in float32: build with --precision float32"
    named = ", and edgec doctor names it" if options.precision == "fp16" and not options.encode else ""
    return f"; --fix keeps in float32 what halves break{named}"
