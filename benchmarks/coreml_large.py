"""100 M parameters of 4 bits, from external data to a package: seconds and peak memory, in a process of its own.

`python benchmarks/coreml_large.py [--layers 24] [--size 2048]`. Three models of 1x1 convolutions or products: floats in
external data that have 16 levels for each 16 channels (palettes), those of MatMulNBits with groups of 32 (int4 in
blocks), and the same as MXFP4. What is counted is import, passes and emission, up to the package's files.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper

FORMS = {
    "palettes": (["palettize{bits=4,group=16}"], "ios18"),
    "int4 blocks": (["quantize_weights{format=i4}"], "ios18"),
    "mxfp4": (["mxfp4_weights"], "ios26"),
}


def write_model(form: str, layers: int, size: int, folder: Path) -> Path:
    """The model with its weights in weights.bin, a tensor after the other."""
    rng = np.random.default_rng(0)
    nodes, initializers, offset = [], [], 0
    with (folder / "weights.bin").open("wb") as file:

        def external(name: str, array: np.ndarray) -> None:
            nonlocal offset
            tensor = TensorProto(name=name, dims=array.shape, data_type=helper.np_dtype_to_tensor_dtype(array.dtype))
            tensor.data_location = TensorProto.EXTERNAL
            for key, value in (("location", "weights.bin"), ("offset", offset), ("length", array.nbytes)):
                tensor.external_data.add(key=key, value=str(value))
            file.write(array.tobytes())
            offset += array.nbytes
            initializers.append(tensor)

        for i in range(layers):
            x, y = f"h{i}", f"h{i + 1}" if i + 1 < layers else "y"
            if form == "int4 blocks":
                external(f"b{i}", rng.integers(0, 256, (size, size // 32, 16), np.uint8))
                external(f"s{i}", rng.uniform(0.5, 1, (size, size // 32)).astype(np.float16).astype(np.float32) / size)
                nodes.append(helper.make_node(
                    "MatMulNBits", [x, f"b{i}", f"s{i}"], [y], domain="com.microsoft", K=size, N=size, bits=4,
                    block_size=32,
                ))  # fmt: skip
                continue
            if form == "mxfp4":
                levels = np.array([0, 0.5, 1, 1.5, 2, 3, 4, 6], np.float32)
                scale = np.exp2(rng.integers(-9, -5, (size, size // 32, 1))).astype(np.float32)
                blocks = levels[rng.integers(0, 8, (size, size // 32, 32))] * scale
                weights = (blocks * rng.choice(np.array([-1, 1], np.float32), blocks.shape)).reshape(size, size, 1, 1)
            else:
                tables = np.sort(rng.standard_normal((size // 16, 16)).astype(np.float16).astype(np.float32)) / 64
                rows = np.arange(size)[:, None] // 16
                weights = tables[rows, rng.integers(0, 16, (size, size), np.uint8)].reshape(size, size, 1, 1)
            external(f"w{i}", weights)
            nodes.append(helper.make_node("Conv", [x, f"w{i}"], [y]))
    dims = [1, 4, size] if form == "int4 blocks" else [1, size, 1, 4]
    ends = [helper.make_tensor_value_info(n, TensorProto.FLOAT, dims) for n in ("h0", "y")]
    graph = helper.make_graph(nodes, "large", [ends[0]], [ends[1]], initializers)
    opsets = [helper.make_opsetid("", 21), helper.make_opsetid("com.microsoft", 1)]
    path = folder / "large.onnx"
    path.write_bytes(helper.make_model(graph, opset_imports=opsets, ir_version=10).SerializeToString())
    return path


def emit_model(form: str, model: Path) -> None:
    """What a build does up to the files, with times; printed as JSON."""
    from edgec.onnx_import.importer import import_model
    from edgec.onnx_import.options import ImportOptions
    from edgec.passes import COREML
    from edgec.pipeline import run_pipeline
    from edgec.targets.coreml.deployment import choose
    from edgec.targets.coreml.package import package_files
    from edgec.targets.coreml.program import emit

    passes, target = FORMS[form]
    times = [time.monotonic()]
    module = import_model(model, ImportOptions())
    times.append(time.monotonic())
    run_pipeline(module, COREML)
    times.append(time.monotonic())
    run_pipeline(module, passes)
    times.append(time.monotonic())
    files = package_files(emit(module, choose(target), True))
    times.append(time.monotonic())
    (folder := model.parent / "large.mlpackage").mkdir()
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    steps = dict(zip(("import", "passes", "encode", "emit"), np.diff(times).round(2).tolist(), strict=True))
    used = resource.getrusage(resource.RUSAGE_SELF)
    cpu = round(used.ru_utime + used.ru_stime, 1)
    size = sum(map(len, files.values()))
    print(json.dumps({"steps": steps, "cpu": cpu, "peak_mb": round(used.ru_maxrss / 1024), "bytes": size}))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--layers", type=int, default=24)
    parser.add_argument("--size", type=int, default=2048)
    parser.add_argument("--emit", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.emit:
        emit_model(options.emit[0], Path(options.emit[1]))
        return
    weights = options.layers * options.size**2
    print(f"{weights / 1e6:.1f} M parameters")
    for form in FORMS:
        with tempfile.TemporaryDirectory() as folder:
            model = write_model(form, options.layers, options.size, Path(folder))
            onnx.checker.check_model(str(model)) if form != "int4 blocks" else None
            started = time.monotonic()
            done = subprocess.run(
                [sys.executable, __file__, "--emit", form, str(model)], capture_output=True, text=True, check=True
            )
            seconds, found = time.monotonic() - started, json.loads(done.stdout.splitlines()[-1])
            bits = found["bytes"] * 8 / weights
            print(f"{form:12} {seconds:6.1f} s in all, {found['cpu']} s of CPU {found['steps']}  "
                  f"peak {found['peak_mb']} MB  {found['bytes'] / 1e6:.1f} MB, {bits:.3f} bits a weight")  # fmt: skip


if __name__ == "__main__":
    main()
