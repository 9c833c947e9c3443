"""Measures the project's bars on the models of a folder.

    python benchmarks/bars.py FOLDER accuracy|instructions|latency|memory|code|build [MODEL ...] [--target TARGET]

accuracy      every model for arm (emulated) and host against onnxruntime, five seeded inputs
instructions  executed A64 instructions of an inference on cortex-a76, by the emulator
latency       one thread on this machine beside onnxruntime in one interleaved run: ratios and their geometric mean
memory        scratch, input and output bytes, by the number of threads that may run the model
code          bytes of code and constants other than weights
build         seconds of a build with zig's cache empty, and of the same build when nothing changed
"""

from __future__ import annotations

import argparse
import math
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from latency import compare
from model_set import Model, read_models

from edgec.driver import BuildResult, build
from edgec.ir.errors import EdgecError

SPEED = (
    "mobilenetv2_100", "efficientnet_lite0_imagenet", "efficientvit_m0", "mlperf_tiny_resnet8", "mlperf_tiny_dscnn",
    "mlperf_tiny_mbv1_025_96", "tiny_unet",
)  # fmt: skip
COUNTED = ("mobilenetv2_100", "mlperf_tiny_resnet8", "mlperf_tiny_mbv1_025_96", "mlperf_tiny_dscnn")
ONE = ("mobilenetv2_100",)


def built(model: Model, target: str, folder: Path, **options: Any) -> BuildResult:
    return build(model.path, target, folder / f"{model.name}-{target.replace(':', '-')}", model.options(**options))


def accuracy(models: Sequence[Model], target: str, folder: Path) -> bool:
    good = 0
    targets = [target] if target else ["arm", "host"]
    for model in models:
        for chosen in targets:
            start = time.perf_counter()
            try:
                receipt = built(model, chosen, folder, verify_inputs=5).receipt
            except EdgecError as error:
                print(f"{model.name:28} {chosen:5} FAILED {error}", flush=True)
                continue
            outputs = receipt["verification"]["outputs"].values()
            worst = max(o.get("relative_to_max", 0.0) for o in outputs)
            good += 1
            seconds = time.perf_counter() - start
            on = receipt["verification"]["executed_on"]
            print(f"{model.name:28} {chosen:5} ok  worst {worst:.1e}  {on}  {seconds:.0f} s", flush=True)
    print(f"{good} of {len(models) * len(targets)} right")
    return good == len(models) * len(targets)


def instructions(models: Sequence[Model], target: str, folder: Path) -> bool:
    for model in models:
        receipt = built(model, target or "arm:cortex-a76", folder, verify_inputs=1).receipt
        count = receipt["verification"]["instructions"]
        print(f"{model.name:28} {count / 1e6:8.2f} M  {count / receipt['macs']:.3f} a multiply-add", flush=True)
    return True


def latency(models: Sequence[Model], target: str, folder: Path) -> bool:
    ratios = []
    for model in models:
        directory = built(model, target or "host", folder, verify_inputs=1).directory
        found = compare(directory, model)
        ratios.append(found.ratio)
        low, high = found.quartiles
        print(f"{model.name:28} edgec {found.ours * 1e6:9.1f} µs  onnxruntime {found.theirs * 1e6:9.1f} µs  "
              f"{found.ratio:.2f}x (quartiles {low:.2f}, {high:.2f})", flush=True)  # fmt: skip
    print(f"geometric mean {math.exp(sum(map(math.log, ratios)) / len(ratios)):.2f}x, least {min(ratios):.2f}x")
    return True


def memory(models: Sequence[Model], target: str, folder: Path) -> bool:
    for model in models:
        for threads in (1, 2, 4):
            m = built(model, target or "arm", folder, verify="none", threads=threads).receipt["memory"]
            total = m["scratch_bytes"] + m["input_bytes"] + m["output_bytes"]
            print(f"{model.name:28} {threads} threads: scratch {m['scratch_bytes']:10,} + input {m['input_bytes']:9,} "
                  f"+ output {m['output_bytes']:7,} = {total:10,} B", flush=True)  # fmt: skip
    return True


def code(models: Sequence[Model], target: str, folder: Path) -> bool:
    for model in models:
        size = built(model, target or "arm", folder, verify="none").receipt["memory"]["code_bytes"]
        print(f"{model.name:28} {size:10,} B of code and constants other than weights", flush=True)
    return True


def build_time(models: Sequence[Model], target: str, folder: Path) -> bool:
    """Whole processes, as a user starts them."""
    for model in models:
        out, cache = str(folder / f"{model.name}-timed"), str(folder / "zig-cache")
        bindings = [f"--shape={k}={'x'.join(map(str, v))}" for k, v in model.shapes.items()]
        command = [sys.executable, "-m", "edgec", "build", str(model.path), "-t", target or "arm", "-o", out,
                   "--verify", "none", *bindings]  # fmt: skip
        environment = {**os.environ, "ZIG_GLOBAL_CACHE_DIR": cache, "ZIG_LOCAL_CACHE_DIR": cache}
        seconds = []
        for _ in range(2):
            start = time.perf_counter()
            subprocess.run(command, check=True, env=environment, capture_output=True)
            seconds.append(time.perf_counter() - start)
        print(f"{model.name:28} {seconds[0]:.1f} s with an empty cache, {seconds[1]:.2f} s unchanged", flush=True)
    return True


BARS: dict[str, tuple[Callable[[Sequence[Model], str, Path], bool], Sequence[str]]] = {
    "accuracy": (accuracy, ()),
    "instructions": (instructions, COUNTED),
    "latency": (latency, SPEED),
    "memory": (memory, ONE),
    "code": (code, ONE),
    "build": (build_time, ONE),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="folder with NAME.onnx files")
    parser.add_argument("bar", choices=BARS)
    parser.add_argument("models", nargs="*", help="names of models.toml [default: the bar's]")
    parser.add_argument("--target", default="", help="as of edgec build [default: the bar's]")
    chosen = parser.parse_args()
    measure, names = BARS[chosen.bar]
    models = list(read_models(chosen.folder, chosen.models or names))
    with tempfile.TemporaryDirectory(prefix="edgec-bars-") as folder:
        sys.exit(0 if measure(models, chosen.target, Path(folder)) else 1)


if __name__ == "__main__":
    main()
