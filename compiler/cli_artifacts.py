"""Commands on artifacts."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click

from edgec.cli_options import RANGE, bindings, consts_of, ranges_of, shapes_of
from edgec.ir.errors import UsageError
from edgec.runtime.buffers import for_file

INPUTS = 5  # random ones that `edgec verify` compares, unless it is told how many


@click.command()
@click.argument("directory", type=click.Path(path_type=Path))
@click.option("--input", "-i", "inputs", multiple=True, metavar="[NAME=]FILE", help="A .npy, or an .npz of all inputs.")
@click.option("--output", "-o", type=click.Path(path_type=Path), help="An .npz to write [default: print].")
@click.option("--runner", default=None, help="host, emulator, qemu, evaluator or coreml [default: what fits].")
@click.option("--threads", default=1, show_default=True, type=click.IntRange(1))
@click.option("--count", is_flag=True, help="Count executed instructions (emulator).")
@click.option("--top", type=click.IntRange(1), help="Print the N best classes of the first output with scores.")
@click.option("--function", default=None, help="Of a Core ML package with several [default: its own default].")
def run(directory: Path, inputs: tuple[str, ...], output: Path | None, runner: str | None, threads: int,
        count: bool, top: int | None, function: str | None) -> None:  # fmt: skip
    """Run an artifact, or a Core ML package, on arrays."""
    import numpy as np

    from edgec.runtime.session import load

    if output is not None and output.exists() and not output.is_file():
        raise UsageError(
            f"--output {output} cannot be written: it is no regular file; give a free name, or a file to replace"
        )
    with load(directory, runner=runner, threads=threads, count=count, function=function) as session:
        feeds = _feeds(inputs, [t.name for t in session.inputs])
        names = [t.name for t in session.outputs]
        arrays = dict(zip(names, session.run(None, feeds), strict=True))
        if count:
            click.echo(f"{session.instructions:,} instructions", err=True)
        labels = session.labels
    if top is not None:
        for line in _best(_scores(arrays), labels, top):
            click.echo(line)
    if output is None and top is not None:
        return
    if output is None:
        for name, array in arrays.items():
            click.echo(f"{name} {array.dtype}{list(array.shape)}\n{np.array2string(array, threshold=64)}")
        return
    target = Path(os.path.realpath(output))  # a link stays one, but where links go in a circle
    partial = target.with_name(target.name + ".partial")
    try:
        with partial.open("wb") as file:
            np.savez(file, **{k: for_file(v) for k, v in arrays.items()})  # type: ignore[arg-type]
        partial.replace(target)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise UsageError(f"--output {output} cannot be written: {error.strerror}") from None


def _scores(arrays: dict[str, Any]) -> Any:
    """The first output with numbers that are no label: a classifier's first output is the label itself."""
    return next((a for a in arrays.values() if a.dtype.kind == "f"), next(iter(arrays.values())))


def _best(scores: Any, labels: tuple[str, ...], top: int) -> list[str]:
    """The best classes of each row of scores, equal ones in order of their number."""
    rows = scores.reshape(-1, scores.shape[-1]) if scores.ndim else scores.reshape(1, 1)
    lines = []
    for row in rows:
        order = (-row.astype(float)).argsort(kind="stable")[:top]
        lines += [f"{row[i]:12.6g}  {labels[i] if labels else f'class {i}'}" for i in order]
    return lines


def _feeds(inputs: tuple[str, ...], names: list[str]) -> dict[str, Any]:
    import numpy as np

    from edgec.labelled import read_data

    feeds: dict[str, Any] = {}
    for item in inputs:
        name, _, path = item.rpartition("=")
        if path.endswith(".npz"):
            feeds.update(read_data(Path(path)))
            continue
        if not name and len(names) != 1:
            raise UsageError(f"--input {item}: write NAME=FILE, the model has the inputs {', '.join(names)}")
        try:
            feeds[name or names[0]] = np.load(path, allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            raise UsageError(f"--input {item} is not a .npy file that can be read: {error}") from None
    return feeds


@click.command()
@click.argument("directory", type=click.Path(path_type=Path))
@click.option("--model", type=click.Path(path_type=Path), required=True, help="The ONNX model it was built from.")
@bindings
@click.option("--range", "ranges", multiple=True, metavar="NAME=LO:HI", help=RANGE)
@click.option("--inputs", "verify_inputs", type=click.IntRange(1), help=f"Random inputs [default: {INPUTS}].")
@click.option("--seed", type=click.IntRange(0), help="Of the random inputs [default: 0].")
@click.option("--data", type=click.Path(path_type=Path))
@click.option("--runner", default=None, help="host, emulator, qemu, evaluator or coreml [default: what fits].")
def verify(directory: Path, model: Path, shapes: tuple[str, ...], consts: tuple[str, ...], ranges: tuple[str, ...],
           verify_inputs: int | None, seed: int | None, data: Path | None, runner: str | None) -> None:  # fmt: skip
    """Compare an artifact with onnxruntime on its model, or, of narrower arithmetic, with what its build computed."""
    from edgec.golden import FILE, check_golden, golden_feeds
    from edgec.image import parse_image
    from edgec.ir.errors import VerifyError
    from edgec.onnx_import.importer import import_model
    from edgec.onnx_import.options import ImportOptions
    from edgec.options import BuildOptions
    from edgec.receipt_text import figures, noise_level
    from edgec.runtime.session import load
    from edgec.sample_inputs import bytes_explained
    from edgec.verify_artifact import check_built_from, verify_session

    with load(directory, runner=runner) as session:
        check_built_from(directory, model)
        images = {n: parse_image(n, form) for n, form in session.manifest.raw.get("images", {}).items()}
        bound = shapes_of(shapes) or {n: tuple(dims) for n, dims in session.manifest.raw.get("shapes", {}).items()}
        golden = directory / FILE
        real = [golden_feeds(golden)] if golden.exists() else []  # narrower arithmetic, which the model cannot judge
        if real and (ranges or verify_inputs is not None or seed is not None):
            raise UsageError(
                f"--inputs, --seed and --range are for random inputs, and {directory} is compared on the sample in "
                f"{golden.name} alone: leave them out"
            )
        options = BuildOptions(shapes=bound, consts=consts_of(consts), ranges=ranges_of(ranges), seed=seed or 0,
                               verify_inputs=len(real) or verify_inputs or INPUTS, data=data)  # fmt: skip
        graph = import_model(model, ImportOptions(options.shapes, options.consts)).entries["main"]
        with bytes_explained([(v.name, v.type) for v in graph.inputs], options.ranges):
            verified = verify_session(session, model, graph, options, images, count=False, samples=real)
        facts = verified.facts
        outputs, by = facts["verification"]["outputs"], facts["verification"]["reference"]
        if real:
            outputs, by = check_golden(session, golden), f"{golden.name}, what its build computed,"
            for name, noise in verified.noise.items():
                click.echo(f"{name} against the model, on the sample in {golden.name}: {noise_level(noise)}")
    for name, output in outputs.items():
        click.echo(f"{name}: {'ok' if output['pass'] else 'FAILED'}, {figures(output)}")
    if "accuracy" in facts:
        scored = facts["accuracy"]
        click.echo(f"accuracy {scored['accuracy']:.4f}, reference {scored['reference_accuracy']:.4f}")
    if not all(output["pass"] for output in outputs.values()):
        raise VerifyError(f"{directory} does not compute what {by} says")


@click.command()
@click.argument("directory", type=click.Path(path_type=Path))
@click.option("--repeat", default=21, show_default=True, type=click.IntRange(1), help="Rounds, or runs with --layers.")
@click.option("--vs", type=click.Choice(["onnxruntime"]), help="Compare with, in one interleaved run.")
@click.option("--model", type=click.Path(path_type=Path), help="The ONNX model, for --vs.")
@click.option("--threads", default=1, show_default=True, type=click.IntRange(1))
@click.option("--runner", default=None, help="host, emulator or qemu [default: what fits].")
@click.option("--layers", is_flag=True, help="Time of each kernel call, or instructions of each function.")
@click.option("--const", "consts", multiple=True, metavar="NAME=VALUE", help="An input that was bound, for --vs.")
@click.option("--range", "ranges", multiple=True, metavar="NAME=LO:HI", help=RANGE)
def bench(directory: Path, repeat: int, vs: str | None, model: Path | None, threads: int, runner: str | None,
          layers: bool, consts: tuple[str, ...], ranges: tuple[str, ...]) -> None:  # fmt: skip
    """Time an artifact on this machine; count instructions where it is emulated."""
    from edgec.bench import bench_directory, bench_layers

    if (vs is None) != (model is None):
        raise UsageError("--vs onnxruntime and --model FILE.onnx go together: give both or none")
    if layers and vs is not None:
        raise UsageError("--layers and --vs are two different runs: give one")
    if layers:
        lines = bench_layers(directory, repeat, ranges_of(ranges), threads, runner)
    else:
        lines = bench_directory(directory, repeat, model, consts_of(consts), ranges_of(ranges), threads, runner)
    for line in lines:
        click.echo(line)


@click.command()
@click.argument("first", type=click.Path(path_type=Path))
@click.argument("second", type=click.Path(path_type=Path))
@click.option("--input", "-i", "inputs", multiple=True, metavar="[NAME=]FILE",
              help="A .npy, or an .npz of all inputs [default: golden.npz of one of them, else random].")  # fmt: skip
@click.option("--seed", type=click.IntRange(0), help="Random inputs, with this seed.")
@click.option("--range", "ranges", multiple=True, metavar="NAME=LO:HI", help=RANGE)
@click.option("--tolerance", metavar="SHARE", help="Of a layer's largest magnitude, such as 1%, for all layers.")
@click.option("--runner", default=None, help="host or emulator [default: what fits].")
@click.option("--json", "json_path", type=click.Path(path_type=Path), help="A file to write the figures to as well.")
def diff(first: Path, second: Path, inputs: tuple[str, ...], seed: int | None, ranges: tuple[str, ...],
         tolerance: str | None, runner: str | None, json_path: Path | None) -> int:  # fmt: skip
    """Name the first layer and channel at which two artifacts part. Exit code 0: alike, 1: they part."""
    from edgec.bounds import share
    from edgec.diff import diff as run_diff
    from edgec.diff import input_of, open_both
    from edgec.diff_text import lines, write_json

    if inputs and (seed is not None or ranges):
        raise UsageError("--input gives the inputs: --seed and --range are for random ones")
    allowed = None if tolerance is None else share("--tolerance", tolerance)
    both = open_both(first, second)
    feeds = _feeds(inputs, [t.name for t in both[0].inputs]) if inputs else input_of(*both, seed, ranges_of(ranges))
    found = run_diff(*both, feeds, allowed, runner)
    for line in lines(found, str(first), str(second)):
        click.echo(line)
    if json_path is not None:
        write_json(found, json_path)
    return 0 if found.parting is None else 1
