"""`load(directory) -> Session`: run an artifact from numpy, whatever it was built for.

The session checks names, types and shapes and keeps the model's state; a runner, chosen by the manifest and imported
when used, executes. All runners take and return the same arrays.
"""

from __future__ import annotations

import importlib.util
import platform
import shutil
import threading
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol

import numpy as np

from edgec.runtime.buffers import is_foreign, read_back
from edgec.runtime.elf import MACHINES, elf_machine
from edgec.runtime.errors import RunError
from edgec.runtime.manifest import Manifest, TensorInfo, check_files, read_manifest

Array = np.ndarray[Any, Any]

RUNNERS = ("host", "emulator", "qemu", "evaluator", "coreml")
# extensions of A64 that a runner has not
LACKS: dict[str, frozenset[str]] = {
    "host": frozenset(),
    "emulator": frozenset({"bf16", "fp8"}),
    "qemu": frozenset({"fp8"}),
}


class Runner(Protocol):
    """What executes an artifact. Arrays come checked, C-contiguous, in the order of the manifest."""

    def run(self, arrays: Sequence[Array]) -> list[Array]:
        """One call of the model; the returned arrays are the caller's to keep."""

    def reset(self) -> None:
        """Set the state to its initial contents."""

    def close(self) -> None:
        """Give memory and threads back."""


class Session:
    """A loaded artifact. `executed_on` says in words where it runs: `host`, `unicorn (aarch64, max)` …

    Threads may share one: its memory is that of one inference, so that `run`, `reset` and `close` wait for each other,
    and for inferences at the same time each thread loads a session of its own."""

    def __init__(self, manifest: Manifest, runner: Runner, executed_on: str) -> None:
        self.manifest = manifest
        self.runner = runner
        self.executed_on = executed_on
        self.inputs: tuple[TensorInfo, ...] = manifest.inputs
        self.outputs: tuple[TensorInfo, ...] = manifest.outputs
        self._known = {tensor.name for tensor in self.inputs}
        self._order = {tensor.name: i for i, tensor in enumerate(self.outputs)}
        self._alone = threading.Lock()  # runners keep ports and scratch memory; C runs without Python's lock

    def run(self, names: Sequence[str] | None, feeds: Mapping[str, Array]) -> list[Array]:
        """The outputs called `names` (None: all, in order) for the input arrays by name."""
        for name in names or ():
            if name not in self._order:
                raise RunError(f"the model has no output '{name}'; it has {_listed(self.outputs)}")
        for name in feeds:
            if name not in self._known:
                raise RunError(f"the model has no input '{name}'; it has {_listed(self.inputs)}")
        feeds = {**getattr(self.runner, "defaults", {}), **feeds}
        takes = getattr(self.runner, "takes", None)  # of runners whose inputs may have several shapes
        arrays = [
            _checked(tensor, feeds, None if takes is None else partial(takes, i))
            for i, tensor in enumerate(self.inputs)
        ]
        with self._alone:
            results = self.runner.run(arrays)
        return results if names is None else [results[self._order[name]] for name in names]

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of the first output's classes; none when the artifact was built without."""
        if "labels" not in self.manifest.raw:
            return getattr(self.runner, "labels", ())
        path = self.manifest.directory / self.manifest.raw["labels"]["file"]
        try:
            return tuple(path.read_text(encoding="utf-8").removesuffix("\n").split("\n"))
        except (OSError, ValueError) as error:
            raise RunError(f"{path} cannot be read: {error}") from error

    def reset(self) -> None:
        """Forget the calls made so far: the state gets its initial contents."""
        with self._alone:
            self.runner.reset()

    @property
    def counts(self) -> bool:
        """Whether the runner can count instructions."""
        return hasattr(self.runner, "instructions")

    @property
    def instructions(self) -> int:
        """Instructions executed by the last run; only an emulator loaded with `count=True` knows."""
        count = getattr(self.runner, "instructions", None)
        if count is None:
            raise RunError("instructions are counted by the emulator only, when loaded with count=True")
        return int(count)

    @property
    def stack_bytes(self) -> int:
        """The deepest stack that any call so far has written to; the emulator alone knows."""
        deepest = getattr(self.runner, "stack_bytes", None)
        if deepest is None:
            raise RunError("the stack is measured by the emulator only")
        return int(deepest)

    def close(self) -> None:
        with self._alone:
            self.runner.close()

    def __enter__(self) -> Session:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _listed(tensors: Sequence[TensorInfo]) -> str:
    return ", ".join(f"'{t.name}' {t}" for t in tensors) or "none"


def _checked(
    tensor: TensorInfo, feeds: Mapping[str, Array], takes: Callable[[tuple[int, ...]], bool] | None
) -> Array:
    if tensor.name not in feeds:
        raise RunError(f"input '{tensor.name}' {tensor} is missing")
    array = read_back(np.asarray(feeds[tensor.name]), tensor.numpy)
    if array.dtype != tensor.numpy:
        codes = f"; codes in bytes are given as array.view('{tensor.numpy}')" if array.dtype == np.uint8 else ""
        known = codes if is_foreign(tensor.numpy) and tensor.numpy.itemsize == 1 else ""
        raise RunError(f"input '{tensor.name}' is {array.dtype}, but the model takes {tensor} ({tensor.numpy}){known}")
    if array.shape != tensor.shape if takes is None else not takes(array.shape):
        raise RunError(f"input '{tensor.name}' has shape {list(array.shape)}, but the model takes {tensor}")
    return array if array.flags.c_contiguous else array.copy()


def load(
    directory: str | Path,
    *,
    runner: str | None = None,
    threads: int = 1,
    count: bool = False,
    verify_files: bool = True,
    function: str | None = None,
) -> Session:
    """Open an artifact or a Core ML package. `runner` is one of RUNNERS, None chooses: the machine itself when the
    library fits it, else the emulator, else qemu; of Core ML packages always the evaluator. `threads` counts on the
    host only, `count=True` counts instructions in the emulator, `function` is one of a Core ML package's functions."""
    if is_package(Path(directory)):
        from edgec.runtime.coreml.runner import package_manifest

        manifest = package_manifest(directory, function)
    else:
        manifest = read_manifest(directory)
    if verify_files:
        check_files(manifest)
    if threads < 1:
        raise RunError(f"threads is {threads}, and at least 1 is needed")
    chosen = runner or _choose(manifest)
    if chosen not in RUNNERS:
        raise RunError(f"there is no runner '{chosen}'; the runners are {', '.join(RUNNERS)}")
    if chosen not in _fitting(manifest):
        raise RunError(f"{manifest.directory} was built for {manifest.target}, which is not for the {chosen} runner")
    if function is not None and chosen not in ("evaluator", "coreml"):
        raise RunError(f"only Core ML packages have functions to choose from, not {manifest.directory}")
    if lacking := _lacking(chosen, manifest):
        raise RunError(f"{manifest.name} uses {lacking} instructions, which the {chosen} runner has not")
    if chosen == "evaluator":
        from edgec.runtime.coreml.runner import EvaluatorRunner

        return Session(manifest, EvaluatorRunner(manifest, function), "evaluator (numpy)")
    if chosen == "coreml":
        from edgec.runtime.coreml.apple import AppleRunner

        return Session(manifest, AppleRunner(manifest, function), "Core ML")
    if chosen == "host":
        from edgec.runtime.host import HostRunner

        return Session(manifest, HostRunner(manifest, threads), "host")
    if chosen == "emulator":
        if importlib.util.find_spec("unicorn") is None:
            raise RunError("AArch64 artifacts run in the emulator unicorn: pip install 'edgec[emulator]'")
        from edgec.runtime.emulator import EmulatorRunner

        emulator = EmulatorRunner(manifest, count=count)
        return Session(manifest, emulator, f"unicorn (aarch64, {emulator.cpu})")
    from edgec.runtime.qemu import PROGRAM, QemuRunner, qemu_version

    qemu = QemuRunner(manifest)
    return Session(manifest, qemu, f"{PROGRAM} {qemu_version()} ({qemu.cpu})")


def is_package(folder: Path) -> bool:
    """Whether a folder is a Core ML package and not an artifact: some file systems know no difference of case."""
    return folder.suffix == ".mlpackage" or (folder.is_dir() and "Manifest.json" in {p.name for p in folder.iterdir()})


def _fitting(manifest: Manifest) -> tuple[str, ...]:
    """The runners that execute what such an artifact holds."""
    family = manifest.target.partition(":")[0]
    if family in ("coreml", "host"):
        return ("evaluator", "coreml") if family == "coreml" else ("host",)
    return ("emulator", "qemu") if f"{manifest.name}.elf" in manifest.files else ()


def _lacking(runner: str, manifest: Manifest) -> str:
    """The extensions that the artifact needs and the runner has not, in words."""
    return " and ".join(e for e in manifest.extensions if e in LACKS.get(runner, frozenset()))


def _choose(manifest: Manifest) -> str:
    if manifest.target.partition(":")[0] == "coreml":
        return "evaluator"
    library = f"lib{manifest.name}.so"
    if library in manifest.files:
        machine = MACHINES.get(elf_machine(manifest.directory / library), "an unknown machine")
        if machine == platform.machine() and platform.system() == "Linux":
            return "host"
    if f"{manifest.name}.elf" in manifest.files:
        if importlib.util.find_spec("unicorn") is not None and not _lacking("emulator", manifest):
            return "emulator"
        if shutil.which("qemu-aarch64") is not None and not _lacking("qemu", manifest):
            return "qemu"
        if lacking := _lacking("qemu", manifest):
            raise RunError(f"{manifest.name} uses {lacking} instructions, which no emulator here has")
        if lacking := _lacking("emulator", manifest):
            raise RunError(
                f"{manifest.name} uses {lacking} instructions, which of the emulators only qemu-aarch64 has: "
                f"install qemu-user"
            )
        raise RunError(
            f"{manifest.directory} needs an emulator on this machine: pip install 'edgec[emulator]', or qemu-user"
        )
    raise RunError(
        f"{manifest.directory} was built for {manifest.target} and cannot run on this {platform.machine()} machine"
    )
