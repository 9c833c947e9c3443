"""What products of bf16 gain: `python benchmarks/bf16.py MODELS instructions|latency [NAME…]`.

instructions  executed A64 instructions of an inference on a Neoverse N2 in bf16, fp16 and float
latency       one thread here, bf16 and float in one interleaved run: x86 with AVX512_BF16

The emulator that counts has no products of bf16. It counts a copy of the program in which they are multiply-adds of
floats, which gives other numbers by as many instructions: no branch of a kernel depends on data.
"""

from __future__ import annotations

import json
import math
import statistics
import struct
import sys
import tempfile
import time
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

from model_set import Model, read_models

from edgec.driver import build
from edgec.ir.types import Type
from edgec.runtime.session import load
from edgec.sample_inputs import sample_inputs

DEFAULT = ("mobilenetv2_100", "mlperf_tiny_resnet8", "mlperf_tiny_mbv1_025_96", "mlperf_tiny_dscnn", "efficientvit_m0",
           "efficientnet_lite0_imagenet")  # fmt: skip
# (bits, mask, bits that stay) -> what stands in (Arm Architecture Reference Manual, A64)
STAND_INS = (
    (0x6E40EC00, 0xFFE0FC00, 0x4E20CC00),  # BFMMLA: FMLA
    (0x6E40FC00, 0xFFE0FC00, 0x4E20CC00),  # BFDOT: FMLA
    (0x4F40F000, 0xFFC0F400, 0x4F801000),  # BFDOT by element: FMLA by element
    (0x0EA16800, 0xBFFFFC00, 0x0E216800),  # BFCVTN: FCVTN
)
RUNS = 41


def counted(folder: Path) -> None:
    """The image in the folder becomes one that the emulator runs."""
    (path,) = folder.glob("*.elf")
    image = bytearray(path.read_bytes())
    for at in range(0, len(image) - 3, 4):
        (word,) = struct.unpack_from("<I", image, at)
        for bits, mask, other in STAND_INS:
            if word & mask == bits:
                struct.pack_into("<I", image, at, other | word & ~mask)
    path.write_bytes(image)
    manifest = folder / "manifest.json"
    raw = json.loads(manifest.read_text())
    raw["files"][path.name] = sha256(image).hexdigest()
    raw["extensions"] = []
    manifest.write_text(json.dumps(raw))


def feeds_of(model: Model, ports: Sequence[Any]) -> dict[str, Any]:
    return sample_inputs([(t.name, Type(t.dtype, t.shape)) for t in ports], 0, model.ranges)


def instructions(folder: Path, names: Sequence[str], work: Path) -> None:
    for model in read_models(folder, names or DEFAULT):
        found = []
        for precision in ("bf16", "fp16", "float32"):
            out = work / f"{model.name}-{precision}"
            options = model.options(precision=precision, verify="none")
            receipt = build(model.path, "arm:neoverse-n2", out, options).receipt
            counted(out)
            with load(out, runner="emulator", count=True) as session:
                session.run(None, feeds_of(model, session.inputs))
                count, weights = session.instructions, receipt["memory"]["weights_bytes"]
            found.append(f"{precision} {count / 1e6:.2f} M, {weights:,} B of weights")
        print(f"{model.name:28} {'; '.join(found)}", flush=True)


def latency(folder: Path, names: Sequence[str], work: Path) -> None:
    ratios = []
    for model in read_models(folder, names or DEFAULT):
        sessions = []
        for precision in ("bf16", "float32"):
            out = work / f"{model.name}-{precision}"
            build(model.path, "host", out, model.options(precision=precision, verify_inputs=1, threads=1))
            sessions.append(load(out))
        feeds = feeds_of(model, sessions[0].inputs)
        times: list[list[float]] = [[], []]
        for i in range(RUNS + 4):
            for session, taken in zip(sessions, times, strict=True):
                start = time.perf_counter()
                session.run(None, feeds)
                if i >= 4:
                    taken.append(time.perf_counter() - start)
        narrow, wide = map(statistics.median, times)
        ratios.append(wide / narrow)
        shown = f"bf16 {narrow * 1e6:.0f} µs, float32 {wide * 1e6:.0f} µs"
        print(f"{model.name:28} {shown}: {wide / narrow:.2f}x", flush=True)
    print(f"geometric mean {math.exp(sum(map(math.log, ratios)) / len(ratios)):.2f}x")


def main() -> None:
    models, what, *names = sys.argv[1:]
    with tempfile.TemporaryDirectory(prefix="edgec-bf16-") as work:
        {"instructions": instructions, "latency": latency}[what](Path(models), names, Path(work))


if __name__ == "__main__":
    main()
