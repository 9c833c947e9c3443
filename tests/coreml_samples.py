"""Three packages made by coremltools that between them have a picture, labels, compressed weights, bytes, a state,
attention, several outputs and two functions; with inputs that make every operator count."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
from coreml_packages import ct, mb, save, types

Array = np.ndarray[Any, Any]

LABELS = ["ash", "birch", "cedar", "elm"]


def _random(seed: int, *shape: int, scale: float = 1.0) -> Array:
    return (np.random.default_rng(seed).standard_normal(shape) * scale).astype(np.float32)


def vision(path: Path) -> tuple[Path, dict[str, Array]]:
    """A picture of 12x12 to one of four labels: convolutions, pools, norms, activations; float32, iOS 17."""

    def build(image: Any) -> Any:
        x = mb.conv(x=image, weight=_random(1, 8, 3, 3, 3, scale=0.3), strides=[2, 2], pad_type="custom",
                    pad=[1, 1, 1, 1], bias=_random(2, 8), name="first")  # fmt: skip
        x = mb.batch_norm(x=x, mean=_random(3, 8), variance=np.abs(_random(4, 8, scale=1e-2)), epsilon=np.float32(1e-3),
                          gamma=_random(5, 8), beta=_random(6, 8), name="normal")  # fmt: skip
        x = mb.gelu(x=x, mode="EXACT", name="bent")
        a = mb.max_pool(x=x, kernel_sizes=[2, 2], strides=[2, 2], pad_type="valid", name="most")
        b = mb.avg_pool(x=x, kernel_sizes=[2, 2], strides=[2, 2], pad_type="valid", name="mean")
        x = mb.concat(values=[a, b], axis=1, name="both")
        x = mb.leaky_relu(x=x, alpha=np.float32(0.1), name="leaky")
        x = mb.reduce_mean(x=x, axes=[2, 3], keep_dims=False, name="pooled")
        x = mb.linear(x=x, weight=_random(7, 4, 16, scale=0.05), bias=_random(8, 4, scale=0.1), name="scores")
        return mb.softmax(x=x, axis=-1, name="probabilities")

    save(
        path, build, {"image": (1, 3, 12, 12)}, 7,
        inputs=[ct.ImageType(name="image", shape=(1, 3, 12, 12), scale=1 / 64, bias=[-1.0, -2.0, -1.5])],
        classifier_config=ct.ClassifierConfig(LABELS),
    )  # fmt: skip
    return path, {"image": np.random.default_rng(9).integers(0, 256, (12, 12, 3)).astype(np.uint8)}


def compressed(path: Path) -> tuple[Path, dict[str, Array]]:
    """Every form of compressed weights that iOS 18 has, and bytes between quantize and dequantize."""
    rng = np.random.default_rng(1)

    def build(x: Any) -> Any:
        four = types.np_uint4_dtype
        lut = mb.constexpr_lut_to_dense(
            indices=rng.integers(0, 16, (32, 32)).astype(four), lut=_random(2, 2, 1, 16, 1, scale=0.3), name="palette"
        )
        x = mb.linear(x=x, weight=lut, name="a")
        mask = (rng.random((32, 32)) < 0.4).astype(types.np_uint1_dtype)
        sparse = mb.constexpr_sparse_to_dense(
            nonzero_data=_random(3, int((mask == 1).sum()), scale=0.3), mask=mask, name="sparse"
        )
        x = mb.linear(x=x, weight=sparse, name="b")
        blocks = mb.constexpr_blockwise_shift_scale(
            data=rng.integers(-8, 8, (32, 32)).astype(types.np_int4_dtype), scale=np.abs(_random(4, 32, 2, scale=0.05)),
            offset=rng.integers(-8, 8, (32, 2)).astype(types.np_int4_dtype), name="blocks",
        )  # fmt: skip
        x = mb.linear(x=x, weight=blocks, name="c")
        x = mb.tanh(x=x, name="bent")
        x = mb.quantize(input=x, scale=np.float32(1 / 100), zero_point=np.uint8(120), output_dtype="uint8", name="q")
        return mb.dequantize(input=x, scale=np.float32(1 / 100), zero_point=np.uint8(120), name="y")

    save(path, build, {"x": (5, 32)}, 8)
    return path, {"x": _random(5, 5, 32, scale=0.2)}


def stateful(path: Path) -> tuple[Path, dict[str, Array]]:
    """Two functions over one set of weights: attention with a state of halves, and the plain sum of what it meets."""
    weight = _random(1, 8, 8, scale=0.5)

    def attended(x: Any, seen: Any) -> Any:
        keys = mb.linear(x=x, weight=weight, name="keys")
        half = mb.cast(x=keys, dtype="fp16", name="half")
        total = mb.add(x=mb.read_state(input=seen, name="before"), y=half, name="total")
        mb.coreml_update_state(state=seen, value=total, name="after")
        wide = mb.cast(x=total, dtype="fp32", name="wide")
        y = mb.scaled_dot_product_attention(query=x, key=wide, value=keys, name="attended")
        y = mb.layer_norm(x=y, axes=[-1], epsilon=np.float32(1e-2), name="normal")
        return mb.sub(x=y, y=x, name="difference"), mb.mul(x=y, y=x, name="product")

    def summed(x: Any) -> Any:
        y = mb.linear(x=x, weight=weight, name="keys")
        return mb.add(x=y, y=x, name="difference"), mb.mul(x=y, y=x, name="product")

    state = mb.state_tensor_placeholder(shape=(2, 4, 8), dtype=types.fp16)
    one = save(path.with_name("one.mlpackage"), attended, {"x": (2, 4, 8), "seen": state}, 8)
    two = save(path.with_name("two.mlpackage"), summed, {"x": (2, 4, 8)}, 8)
    functions = ct.utils.MultiFunctionDescriptor()
    functions.add_function(str(one), src_function_name="main", target_function_name="main")
    functions.add_function(str(two), src_function_name="main", target_function_name="plain")
    functions.default_function_name = "main"
    ct.utils.save_multifunction(functions, str(path))
    return path, {"x": _random(2, 2, 4, 8)}


def artifact(tmp_path: Path, **changes: object) -> Path:
    """An edgec artifact around a package that takes i32 and gives f32, whose own interface has i64 and f64."""

    def build(x: object) -> object:
        return mb.mul(x=mb.cast(x=x, dtype="fp32"), y=0.5, name="y")

    folder = tmp_path / "built"
    folder.mkdir()
    package = save(folder / "net.mlpackage", build, {"x": np.zeros((2, 2), np.int32)})
    files = {p.relative_to(folder).as_posix(): p for p in package.rglob("*") if p.is_file()}
    raw = {
        "format": 1, "name": "net", "target": "coreml:ios18", "package": "net.mlpackage", "scratch_bytes": 0,
        "state_bytes": 0, "inputs": [{"name": "x", "dtype": "i64", "shape": [4]}],
        "outputs": [{"name": "y", "dtype": "f64", "shape": [2, 2]}],
        "files": {name: hashlib.sha256(p.read_bytes()).hexdigest() for name, p in files.items()},
        **changes,
    }  # fmt: skip
    (folder / "manifest.json").write_text(json.dumps(raw))
    return folder
