"""Measures INT8 beside float and onnxruntime's quantisation, on the models and data of two folders.

    python benchmarks/int8.py MODELS DATA BAR [MODEL ...] [--target TARGET] [--precision PRECISION]

flips         answers lost and won on the labelled sets, calibrated on all of their `calib`; INT8 beside quantize_static
latency       one thread on this machine: our INT8, our float, onnxruntime's INT8 forms, in one interleaved run
instructions  executed A64 instructions of an inference in INT8, fp16 and float, by the emulator
agreement     top-1 of efficientnet_lite0 in INT8 and in float on crops of scikit-image's photographs (needs it)
bits          every model for this machine and cores with smmla, sdot and neither, against the same integers
noise         signal to noise of the first output beside onnxruntime's quantize_static, on held-out inputs
"""

from __future__ import annotations

import argparse
import math
import statistics
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.version_converter
import onnxruntime
from model_set import Model, read_models
from onnxruntime import quantization

from edgec.bench import _interleaved
from edgec.driver import build
from edgec.ir.errors import EdgecError
from edgec.options import PRECISIONS
from edgec.paired import signal_to_noise
from edgec.reference import fast_session
from edgec.runtime.session import load
from edgec.sample_inputs import sample_inputs

Array = np.ndarray[Any, Any]
SPEED = (
    "mlperf_tiny_resnet8", "mlperf_tiny_dscnn", "mlperf_tiny_mbv1_025_96", "mobilenetv2_100",
    "efficientnet_lite0_imagenet", "efficientvit_m0",
)  # fmt: skip
COUNTED = ("mobilenetv2_100", "mlperf_tiny_resnet8", "mlperf_tiny_mbv1_025_96", "mlperf_tiny_dscnn")
OBSERVERS = {m.name.lower(): m for m in quantization.CalibrationMethod if m.name in ("MinMax", "Entropy", "Percentile")}
MADE_UP = 128  # random inputs to calibrate on, where there is no data
HELD_OUT = 512  # of 32, two or three make most of the noise, and who is ahead is chance
PER_CHANNEL = 13  # the first opset with scales a channel


@dataclass(frozen=True)
class Labelled:
    """Inputs [n, …] and truths, and inputs to calibrate on."""

    model: str
    x: Array
    y: Array
    calib: Array


def labelled(data: Path) -> Iterator[Labelled]:
    with np.load(data / "fashion_mnist.npz") as f:
        x, calib = (((f[k] / 255 - 0.286) / 0.353).astype(np.float32).reshape(-1, 1, 28, 28) for k in ("x", "calib"))
        yield Labelled("resnet8_fashion_mnist", x, f["y"], calib)
    with np.load(data / "kws_espeak10.npz") as f:
        x, calib = (f[k][:, None, ::2, :40].astype(np.float32) for k in ("x", "calib"))
        yield Labelled("dscnn_kws_espeak10", x, f["y"], calib)
    with np.load(data / "magika_files.npz") as f:
        yield Labelled("magika_v3_3", f["x"].astype(np.int32), f["y"], f["calib"].astype(np.int32))


def crops() -> tuple[Array, Array]:
    """Natural crops of photographs as efficientnet_lite0 takes them, to calibrate on and to look at."""
    import skimage.data
    import skimage.transform

    # the photographs that come with the package and show what people photograph
    photos = [getattr(skimage.data, name)() for name in ("astronaut", "chelsea", "coffee", "rocket")]
    rng = np.random.default_rng(5)
    found = []
    for photo in [*photos, *skimage.data.stereo_motorcycle()[:2]]:
        h, w = photo.shape[:2]
        for _ in range(60):
            side = int(rng.integers(min(h, w) // 3, min(h, w)))
            top, left = int(rng.integers(0, h - side + 1)), int(rng.integers(0, w - side + 1))
            crop = skimage.transform.resize(photo[top : top + side, left : left + side], (224, 224), anti_aliasing=True)
            found.append(((crop * 255 - 127.0) / 128.0).astype(np.float32).transpose(2, 0, 1))
    order = rng.permutation(len(found))
    every = np.stack(found)[order]
    return every[:64], every[64:]


class Feeder(quantization.CalibrationDataReader):  # type: ignore[misc]
    def __init__(self, feeds: Sequence[dict[str, Array]]) -> None:
        self._feeds = iter(feeds)

    def get_next(self) -> dict[str, Array] | None:
        return next(self._feeds, None)


def theirs(
    model: Model, feeds: Sequence[dict[str, Array]], folder: Path, observer: str, signed: bool, form: str = "QDQ"
) -> Path:
    """The model quantised by onnxruntime, per channel."""
    prepared, out = folder / f"{model.name}-prepared.onnx", folder / f"{model.name}-{observer}-{signed}-{form}.onnx"
    if not prepared.exists():
        source = onnx.load(str(model.path))
        if next(o.version for o in source.opset_import if o.domain == "") < PER_CHANNEL:
            source = onnx.version_converter.convert_version(source, PER_CHANNEL)
        onnx.save(source, str(prepared))
        quantization.shape_inference.quant_pre_process(str(prepared), str(prepared), skip_symbolic_shape=True)
    activation = quantization.QuantType.QInt8 if signed else quantization.QuantType.QUInt8
    options = {"per_channel": True, "calibrate_method": OBSERVERS[observer], "activation_type": activation,
               "weight_type": quantization.QuantType.QInt8, "quant_format": quantization.QuantFormat[form]}  # fmt: skip
    try:
        quantization.quantize_static(str(prepared), str(out), Feeder(feeds), **options)
    except ValueError:
        # its adjustment of weights' scales to biases stops at biases that are no vectors, as magika's are; without it,
        # norms written in long hand lose everything, so that only products are quantised
        quantization.quantize_static(
            str(prepared), str(out), Feeder(feeds), op_types_to_quantize=["Conv", "Gemm", "MatMul"],
            extra_options={"QDQDisableWeightAdjustForInt32Bias": True}, **options,
        )  # fmt: skip
    return out


def samples(model: Model, calib: Array) -> list[dict[str, Array]]:
    (name,) = model.shapes or {"input": ()}
    return [{name: one.reshape(model.shapes.get(name, (1, *one.shape)))} for one in calib]


def built(model: Model, target: str, folder: Path, calib: Array | None, **options: Any) -> Path:
    if calib is not None:
        (name,) = model.shapes or {"input": ()}
        np.savez(folder / "calib.npz", **{name: calib})
        options |= {"calib": str(folder / "calib.npz")}
    out = folder / f"{model.name}-{target.replace(':', '-')}-{options.get('precision', 'float32')}"
    return build(model.path, target, out, model.options(**options)).directory


def scores(directory: Path, x: Array) -> Array:
    with load(directory) as session:
        port = session.inputs[0]
        return np.stack([session.run(None, {port.name: one.reshape(port.shape)})[0].ravel() for one in x])


def reference_scores(model: Path, x: Array, shape: tuple[int, ...]) -> Array:
    session = fast_session(model, 1)
    name = session.get_inputs()[0].name
    return np.stack([session.run(None, {name: one.reshape(shape)})[0].ravel() for one in x])


def flips(folder: Path, data: Path, names: Sequence[str], target: str, work: Path, precision: str = "int8") -> None:
    for of in labelled(data):
        if names and of.model not in names:
            continue
        (model,) = read_models(folder, [of.model])
        shape = next(iter(model.shapes.values()))
        wide = reference_scores(model.path, of.x, shape)
        right = judge(of, wide)
        ours = built(model, target or "host", work, of.calib, precision=precision)
        found = {f"edgec {precision}": scores(ours, of.x)}
        for observer in OBSERVERS if precision == "int8" else ():
            ours = built(model, target or "host", work, of.calib, precision=precision, observer=observer)
            found[f"edgec {observer}"] = scores(ours, of.x)
            try:
                path = theirs(model, samples(model, of.calib), work, observer, False)
                found[f"onnxruntime {observer}"] = reference_scores(path, of.x, shape)
            except Exception as error:
                print(f"{of.model:24} onnxruntime {observer} fails: {str(error).splitlines()[0][:90]}")
        for label, narrow in found.items():
            before, after = right(wide), right(narrow)
            lost, won = int((before & ~after).sum()), int((~before & after).sum())
            print(f"{of.model:24} {label:24} {before.mean():.4f} -> {after.mean():.4f}  lost {lost} won {won} "
                  f"net {lost - won}  signal to noise {signal_to_noise(narrow, wide):.2f} dB", flush=True)  # fmt: skip


def judge(of: Labelled, wide: Array) -> Callable[[Array], Array]:
    """Which answers are right; a class stands for the label that it most often is, where labels are names."""
    if of.y.dtype.kind != "U":
        return lambda s: np.asarray(s.argmax(1) == of.y)
    answers = wide.argmax(1)
    names = {c: Counter(of.y[answers == c].tolist()).most_common(1)[0][0] for c in set(answers.tolist())}
    return lambda s: np.array([names.get(int(c), "") == y for c, y in zip(s.argmax(1), of.y, strict=True)])


def latency(folder: Path, data: Path, names: Sequence[str], target: str, work: Path) -> None:
    against: dict[str, list[float]] = {"onnxruntime INT8": [], "our float": []}
    for model in read_models(folder, names or SPEED):
        int8 = built(model, target or "host", work, None, precision="int8", verify="none", threads=1)
        wide = built(model, target or "host", work, None, verify="none", threads=1)
        with load(int8) as ours, load(wide) as ours_wide:
            ports = [(t.name, t) for t in ours.inputs]
            feeds = feeds_of(model, ours.inputs)
            contenders: dict[str, Callable[[], Any]] = {
                "int8": lambda s=ours, f=feeds: s.run(None, f), "float": lambda s=ours_wide, f=feeds: s.run(None, f)
            }  # fmt: skip
            for signed in (False, True):
                try:
                    path = theirs(model, [feeds] * 2, work, "minmax", signed)
                except Exception as error:
                    print(f"{model.name:28} onnxruntime fails: {str(error).splitlines()[0][:90]}")
                    continue
                session = fast_session(path, 1)
                contenders[f"ort {'s8' if signed else 'u8'}"] = lambda s=session, f=feeds: s.run(None, f)
            times = _interleaved(contenders, 41)
            del ports
        best = {k: statistics.median(v) for k, v in times.items()}
        peer = min((v for k, v in best.items() if k.startswith("ort")), default=math.nan)
        against["onnxruntime INT8"].append(peer / best["int8"])
        against["our float"].append(best["float"] / best["int8"])
        shown = "  ".join(f"{k} {v * 1e6:.1f} µs" for k, v in best.items())
        print(f"{model.name:28} {shown}  against onnxruntime {peer / best['int8']:.2f}x, against our float "
              f"{best['float'] / best['int8']:.2f}x", flush=True)  # fmt: skip
    for label, ratios in against.items():
        mean = math.exp(sum(map(math.log, ratios)) / len(ratios))
        print(f"against {label}: geometric mean {mean:.2f}x, least {min(ratios):.2f}x")


def feeds_of(model: Model, ports: Sequence[Any], seed: int = 0) -> dict[str, Array]:
    from edgec.ir.types import Type

    return sample_inputs([(t.name, Type(t.dtype, t.shape)) for t in ports], seed, model.ranges)


def instructions(folder: Path, data: Path, names: Sequence[str], target: str, work: Path) -> None:
    for model in read_models(folder, names or COUNTED):
        counts = []
        for precision in ("int8", "fp16", "float32"):
            out = work / f"{model.name}-{precision}"
            options = model.options(precision=precision, verify_inputs=1)
            verification = build(model.path, target or "arm:cortex-a76", out, options).receipt["verification"]
            noise = verification.get("against_model", {}).get("signal_to_noise_db", {})
            counts.append(f"{precision} {verification['instructions'] / 1e6:.3f} M")
            worst = min((n for n in noise.values() if n is not None), default=math.inf)
            counts[-1] += f" ({worst:.1f} dB)" if noise else ""
        print(f"{model.name:28} {', '.join(counts)}", flush=True)


def agreement(folder: Path, data: Path, names: Sequence[str], target: str, work: Path) -> None:
    (model,) = read_models(folder, ["efficientnet_lite0_imagenet"])
    calib, x = crops()
    wide = reference_scores(model.path, x, (1, 3, 224, 224))
    narrow = scores(built(model, target or "host", work, calib, precision="int8"), x)
    same = float((wide.argmax(1) == narrow.argmax(1)).mean())
    print(f"{len(x)} crops: top-1 agreement {same:.2%}, signal to noise {signal_to_noise(narrow, wide):.2f} dB")
    for observer in OBSERVERS:
        path = theirs(model, samples(model, calib), work, observer, False)
        found = reference_scores(path, x, (1, 3, 224, 224))
        same = float((wide.argmax(1) == found.argmax(1)).mean())
        print(f"onnxruntime {observer}: {same:.2%}, {signal_to_noise(found, wide):.2f} dB", flush=True)


def noise(folder: Path, data: Path, names: Sequence[str], target: str, work: Path) -> None:
    rng = np.random.default_rng(9)
    for model in read_models(folder, names or ("mtcnn_onet", "ppocr_v2_cls")):
        ((name, shape),) = model.shapes.items()
        low, high = model.ranges.get(name, (-1.0, 1.0))
        x = rng.uniform(low, high, (MADE_UP + HELD_OUT, *shape[1:])).astype(np.float32)
        wide = reference_scores(model.path, x[MADE_UP:], shape)
        narrow = scores(built(model, target or "host", work, x[:MADE_UP], precision="int8"), x[MADE_UP:])
        print(f"{model.name:24} edgec {signal_to_noise(narrow, wide):.2f} dB", flush=True)
        for observer in OBSERVERS:
            path = theirs(model, samples(model, x[:MADE_UP]), work, observer, False)
            found = reference_scores(path, x[MADE_UP:], shape)
            print(f"{model.name:24} onnxruntime {observer} {signal_to_noise(found, wide):.2f} dB", flush=True)


def bits(folder: Path, data: Path, names: Sequence[str], target: str, work: Path) -> None:
    """Exact, or how far off: behind operators in floats, a byte here and there may be a step off."""
    good, total = 0, 0
    for model in read_models(folder, names):
        for chosen in (target,) if target else ("host", "arm:neoverse-n2", "arm:cortex-a76", "arm:cortex-a72"):
            total += 1
            out = work / f"{model.name}-{chosen.replace(':', '-')}"
            options = model.options(precision="int8", verify_inputs=2, calib_samples=8)
            try:
                receipt = build(model.path, chosen, out, options).receipt
            except EdgecError as error:
                print(f"{model.name:28} {chosen:15} FAILED {error}", flush=True)
                continue
            good += 1
            outputs = receipt["verification"]["outputs"].values()
            worst = max(o.get("relative_to_max", 0.0) for o in outputs)
            behind = min((o.get("behind_float_islands_db", math.inf) for o in outputs), default=math.inf)
            said = "exact" if not worst else f"{worst:.1e} of the largest" if behind == math.inf else f"{behind} dB"
            share = receipt["quantization"]["macs_share"]
            print(f"{model.name:28} {chosen:15} {said}, {share:.1%} of the multiply-adds on bytes", flush=True)
    print(f"{good} of {total} right")


BARS = {f.__name__: f for f in (flips, latency, instructions, agreement, bits, noise)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", type=Path, help="folder with NAME.onnx files")
    parser.add_argument("data", type=Path, help="folder with the labelled data")
    parser.add_argument("bar", choices=BARS)
    parser.add_argument("names", nargs="*")
    parser.add_argument("--target", default="")
    parser.add_argument("--precision", default="int8", choices=PRECISIONS, help="of flips")
    chosen = parser.parse_args()
    onnxruntime.set_default_logger_severity(4)
    with tempfile.TemporaryDirectory(prefix="edgec-int8-") as work:
        bar = partial(flips, precision=chosen.precision) if chosen.bar == "flips" else BARS[chosen.bar]
        bar(chosen.models, chosen.data, chosen.names, chosen.target, Path(work))


if __name__ == "__main__":
    main()
