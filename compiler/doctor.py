"""What this machine can build and run."""

from __future__ import annotations

import importlib.util
import platform
from importlib.metadata import PackageNotFoundError, version

from edgec.runtime.qemu import qemu_version


def findings() -> list[tuple[str, str, str]]:
    """(what, what was found or nothing, how to get it)."""

    def package(name: str, module: str, hint: str) -> tuple[str, str, str]:
        if importlib.util.find_spec(module) is None:
            return name, "", hint
        try:
            return name, version(name), hint
        except PackageNotFoundError:
            return name, "present", hint

    return [
        ("machine", f"{platform.machine()} {platform.system()}, Python {platform.python_version()}", ""),
        package("onnx", "onnx", "pip install onnx"),
        package("onnxruntime", "onnxruntime", "pip install onnxruntime"),
        package("ziglang", "ziglang", "pip install ziglang"),
        package("unicorn", "unicorn", "pip install 'edgec[emulator]' to run AArch64 artifacts here"),
        package("coremltools", "coremltools", "pip install 'edgec[coreml]' to make Core ML packages"),
        ("qemu-aarch64", qemu_version(), "install qemu-user to run AArch64 artifacts with --runner qemu"),
    ]
