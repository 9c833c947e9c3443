"""`--precision` of a package: what it computes in, how its weights are stored, how it is judged."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from edgec.image import Image
from edgec.ir.errors import UsageError
from edgec.ir.graph import Module, Op
from edgec.narrowed import HALVES_DB, Narrowed
from edgec.options import BuildOptions
from edgec.passes import COREML
from edgec.pipeline import run_pipeline
from edgec.targets.coreml.deployment import Deployment

LEGAL = ("float32", "fp16")
HALVES = f"signal to noise of {HALVES_DB} dB against the same graph in float32"
IN_FLOAT32 = "edgec's interpreter in float32"


@dataclass(frozen=True)
class SettledPackage:
    """`wide` are the operators that compute in float32 beside halves; `facts` go into the receipt."""

    halves: bool
    wide: Collection[Op] = ()
    narrowed: Narrowed | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)


def check_precision(options: BuildOptions, deployment: Deployment) -> None:
    """UsageError for a precision that packages do not have."""
    if options.precision not in LEGAL:
        raise UsageError(f"--precision {options.precision} is not for packages; legal: {', '.join(LEGAL)}")


def settle_package(
    module: Module, deployment: Deployment, options: BuildOptions, images: Mapping[str, Image],
    progress: Callable[[str], None],
) -> SettledPackage:  # fmt: skip
    """Runs the passes over an imported module."""
    effects = run_pipeline(module, COREML)
    passes = {name: {"went": dict(e.went), "came": dict(e.came)} for name, e in effects.items()}
    graph = module.entries["main"]
    if options.precision == "float32":
        return SettledPackage(False, facts={"passes": passes})
    return SettledPackage(True, narrowed=Narrowed(graph, (), IN_FLOAT32, HALVES_DB), facts={"passes": passes})
