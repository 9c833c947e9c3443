"""What `edgec doctor MODEL` says: the operators that overflow or diverge in halves, the first one first."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

from edgec.fp16_doctor import LEAST_DB, diagnose
from edgec.ir.errors import UsageError
from edgec.onnx_import.importer import import_model
from edgec.onnx_import.options import ImportOptions
from edgec.onnx_import.reader import check_file
from edgec.options import BuildOptions
from edgec.package_samples import samples_for_doctor
from edgec.passes import COREML
from edgec.pipeline import run_pipeline
from edgec.sample_inputs import bytes_explained, compared_first
from edgec.target_table import choose_target
from edgec.targets.coreml.deployment import Deployment


def fp16_report(model: Path, target: str, options: BuildOptions) -> Iterator[str]:
    """UsageError for a target that makes no packages."""
    _, deployment = choose_target(target)
    if not isinstance(deployment, Deployment):
        raise UsageError(f"--target {target}: the doctor looks at Core ML packages; legal: coreml, coreml:iosNN")
    check_file(model)
    module = import_model(model, ImportOptions(options.shapes, options.consts))
    run_pipeline(module, COREML)
    samples = samples_for_doctor(module, options, {}, lambda _: None)
    with bytes_explained([(v.name, v.type) for v in module.entries["main"].inputs], options.ranges):
        found = diagnose(
            module, deployment, compared_first(samples, options.verify_inputs), verified=options.verify_inputs
        )
    yield f"{model.name} in halves on {len(samples)} {'samples' if options.calib else 'random samples'}"
    for finding in found.findings:
        yield f"  {finding.op.label} {finding.what}: {finding.detail}"
    for name, level in found.outputs.items():
        said = "lost" if level == -math.inf else "exact" if level == math.inf else f"{level:.1f} dB"
        also = ", and integers must be the same" if name in found.integers and level < math.inf else ""
        wanted = found.wanted(name)
        asked = f", and {wanted:.1f} dB are asked beside bytes" if wanted < LEAST_DB else ""
        yield f"  output {name}: {said}{also}{asked}"
    if found.healthy:
        kept = f"keep {LEAST_DB:.0f} dB" if min(found.outputs.values(), default=LEAST_DB) >= LEAST_DB else "keep enough"
        yield f"  nothing overflows, and outputs {kept}: --precision fp16 will do"
    else:
        yield "  edgec doctor --fix builds the package with what breaks in float32"
