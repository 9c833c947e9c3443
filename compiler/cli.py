"""The `edgec` command: parse, call, print. Everything heavy is imported inside the command that needs it."""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import Any

import click

from edgec.ir.errors import EdgecError, UsageError, one_sentence
from edgec.runtime.errors import RunError


def main() -> None:
    """Runs the command; every foreseen error is one line on stderr and an exit code."""
    try:
        code = commands.main(standalone_mode=False)
        sys.exit(code if isinstance(code, int) else 0)
    except click.exceptions.Exit as done:
        sys.exit(done.exit_code)
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        sys.exit(2)
    except click.ClickException as error:
        _fail(error.format_message(), 2)
    except click.Abort:
        sys.exit(130)
    except EdgecError as error:
        _fail(str(error), error.exit_code)
    except RunError as error:
        _fail(str(error), 7)
    except MemoryError:
        _fail("this machine has too little memory for the model", 1)
    except OSError as error:
        _fail(f"{error.filename or 'a file'} cannot be used: {error.strerror or error}", 1)


def _fail(message: str, code: int) -> None:
    click.echo(f"edgec: {one_sentence(message)}", err=True)
    sys.exit(code)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="edgec")
def commands() -> None:
    """Compile ONNX models for the edge."""


def _pairs(option: str, items: tuple[str, ...]) -> dict[str, str]:
    found: dict[str, str] = {}
    for item in items:
        name, equals, value = item.rpartition("=")
        if not equals or not name or not value:
            raise UsageError(f"{option} {item}: write NAME=VALUE")
        found[name] = value
    return found


def _shapes(items: tuple[str, ...]) -> dict[str, tuple[int, ...]]:
    shapes: dict[str, tuple[int, ...]] = {}
    for name, text in _pairs("--shape", items).items():
        parts = text.replace(",", "x").split("x")
        if not all(p.isascii() and p.isdigit() for p in parts):
            raise UsageError(f"--shape {name}={text}: write lengths as 1x3x224x224")
        shapes[name] = tuple(int(p) for p in parts)
    return shapes


def _consts(items: tuple[str, ...]) -> dict[str, Any]:
    import numpy as np

    consts = {}
    for name, text in _pairs("--const", items).items():
        try:
            consts[name] = np.load(text, allow_pickle=False) if text.endswith(".npy") else np.array(_numbers(text))
        except (ValueError, OSError):
            raise UsageError(f"--const {name}={text}: write a number, numbers as 1,2,3, or a .npy file") from None
    return consts


def _numbers(text: str) -> Any:
    values = [float(t) if any(c in t for c in ".en") else int(t) for t in text.split(",")]
    return values[0] if len(values) == 1 else values


def _ranges(items: tuple[str, ...]) -> dict[str, tuple[float, float]]:
    ranges = {}
    for name, text in _pairs("--range", items).items():
        try:
            low, high = (float(t) for t in text.split(":"))
        except ValueError:
            raise UsageError(f"--range {name}={text}: write LOW:HIGH") from None
        if not -math.inf < low <= high < math.inf:
            raise UsageError(f"--range {name}={text}: LOW must not be above HIGH, and both must be finite numbers")
        ranges[name] = (low, high)
    return ranges


def _images(items: tuple[str, ...]) -> dict[str, str]:
    """NAME:FORM; an ONNX name may hold colons, a form holds none."""
    images = {}
    for item in items:
        name, colon, form = item.rpartition(":")
        if not colon or not name:
            raise UsageError(f"--image {item}: write NAME:rgb8,nhwc,mean=0.485/0.456/0.406,std=0.229/0.224/0.225")
        images[name] = form
    return images


_BINDINGS = (
    click.option("--shape", "shapes", multiple=True, metavar="NAME=1x3x8", help="Bind the shape of an input."),
    click.option("--const", "consts", multiple=True, metavar="NAME=VALUE", help="Bind an input to a constant."),
)


def _bindings(command: Any) -> Any:
    for option in _BINDINGS:
        command = option(command)
    return command


@commands.command()
@click.argument("model", type=click.Path(path_type=Path))
@click.option("--target", "-t", required=True, help="arm, arm:CPU or host; `edgec targets` lists them.")
@click.option("--output", "-o", type=click.Path(path_type=Path), help="Folder to make [default: MODEL-TARGET].")
@_bindings
@click.option("--range", "ranges", multiple=True, metavar="NAME=LO:HI", help="Where sample inputs lie.")
@click.option("--name", default="", help="Prefix of files and functions [default: the model's].")
@click.option("--os", "system", default="linux", show_default=True, help="linux, android, macos, ios or none.")
@click.option("--threads", default=4, show_default=True, type=click.IntRange(1, 64),
              help="Most threads that will run it: more take more scratch memory.")  # fmt: skip
@click.option("--verify", default="auto", show_default=True, help="auto, host, emulate, qemu or none.")
@click.option("--inputs", "verify_inputs", default=3, show_default=True, type=click.IntRange(1), help="Sample inputs.")
@click.option("--seed", default=0, show_default=True, type=click.IntRange(0), help="Of the sample inputs.")
@click.option(
    "--data", type=click.Path(path_type=Path), help="Labelled data: .npz with one array an input and `labels`."
)
@click.option("--image", "images", multiple=True, metavar="NAME:FORM",
              help="Take a camera frame: rgb8, bgr8 or gray8, then nhwc or nchw, mean=, std=, range=, model=.")
@click.option("--labels", type=click.Path(path_type=Path), help="Names of the classes, one a line.")
@click.option("--single-file", is_flag=True, help="Weights, up to 1 MB, as an array in the C file.")
@click.option("--weights", default="linked", show_default=True,
              help="linked, or file: NAME_weights.bin is not linked in, the program hands it over.")
@click.option("--layers", is_flag=True, help="Add the error of each operator to the receipt (builds twice).")
@click.option("--precision", default="float32", show_default=True,
              help="float32, fp16, bf16, int8, int8-dynamic, fp8-e4m3, fp8-e5m2, w4a8, w8 or w4.")
@click.option("--calib", metavar="DATA", help="Samples: file.npz, a folder of .npy, or module:function.")
@click.option("--calib-samples", default=128, show_default=True, type=click.IntRange(2), help="Most of --calib.")
@click.option("--observer", default="auto", show_default=True,
              help="minmax, percentile, entropy or mse; auto tries them all.")  # fmt: skip
@click.option("--low-rank", default=0, show_default=True, type=click.IntRange(0),
              help="Rank of the floats that make up for rounded weights of matmuls: fp8-*, w8, w4.")  # fmt: skip
@click.option("--max-drop", metavar="SHARE", help="Most accuracy that int8 may lose, such as 0.5%.")
@click.option("--max-error", metavar="SHARE", help="Most error of outputs that int8 may make, such as 2%.")
@click.option("--force", is_flag=True, help="Narrow operators even where that is predicted to be slower.")
@click.option("--integers-only", "whole", is_flag=True,
              help="int8 for all that has an integer form, up to the outputs, at any cost.")  # fmt: skip
@click.option("--rebuild", is_flag=True, help="Build although nothing changed.")
@click.option("-v", "--verbose", is_flag=True, help="Say what is being done.")
def build(model: Path, target: str, output: Path | None, shapes: tuple[str, ...], consts: tuple[str, ...],
          ranges: tuple[str, ...], images: tuple[str, ...], system: str, verbose: bool, single_file: bool, weights: str,
          **rest: Any) -> None:  # fmt: skip
    """Compile MODEL for a target and verify the result."""
    from edgec.driver import build as run_build
    from edgec.options import BuildOptions
    from edgec.receipt_text import render

    if single_file and weights != "linked":
        raise UsageError(f"--single-file puts the weights into the C file: --weights {weights} cannot be given with it")
    options = BuildOptions(
        weights="inline" if single_file else weights,  # type: ignore[arg-type]  # checked by the driver
        shapes=_shapes(shapes), consts=_consts(consts), ranges=_ranges(ranges), images=_images(images), os=system,
        **rest,
    )  # fmt: skip
    folder = output or Path(f"{model.stem}-{target.replace(':', '-')}")
    progress = (lambda text: click.echo(f"  {text}", err=True)) if verbose else (lambda text: None)
    result = run_build(model, target, folder, options, progress)
    click.echo(render(result.receipt))
    click.echo(f"{folder} is {'unchanged' if result.cached else 'ready'}")


@commands.command("compare-formats")
@click.argument("model", type=click.Path(path_type=Path))
@click.option("--target", "-t", required=True, help="arm, arm:CPU or host; `edgec targets` lists them.")
@_bindings
@click.option("--range", "ranges", multiple=True, metavar="NAME=LO:HI", help="Where sample inputs lie.")
@click.option("--calib", metavar="DATA", help="Samples: file.npz, a folder of .npy, or module:function.")
@click.option("--calib-samples", default=128, show_default=True, type=click.IntRange(2), help="Most of --calib.")
@click.option("--data", type=click.Path(path_type=Path), help="Labelled data, as for build.")
@click.option("--inputs", "verify_inputs", default=3, show_default=True, type=click.IntRange(1), help="Sample inputs.")
@click.option("--format", "formats", multiple=True, help="One of --precision's; may be repeated [default: all].")
@click.option("--json", "json_path", type=click.Path(path_type=Path), help="A file to write the table to as well.")
def compare(model: Path, target: str, shapes: tuple[str, ...], consts: tuple[str, ...], ranges: tuple[str, ...],
            formats: tuple[str, ...], json_path: Path | None, **rest: Any) -> None:  # fmt: skip
    """Build MODEL in every number format: error, accuracy, bytes and instructions of each."""
    from edgec.compare_formats import compare_formats, table, write_json
    from edgec.options import PRECISIONS, BuildOptions

    options = BuildOptions(shapes=_shapes(shapes), consts=_consts(consts), ranges=_ranges(ranges), **rest)
    chosen = formats or PRECISIONS
    rows = compare_formats(model, target, options, chosen, lambda text: click.echo(f"  {text}", err=True))
    for line in table(rows):
        click.echo(line)
    if json_path is not None:
        write_json(rows, model, target, json_path)


@commands.command()
@click.argument("directory", type=click.Path(path_type=Path))
@click.option("--input", "-i", "inputs", multiple=True, metavar="[NAME=]FILE", help="A .npy, or an .npz of all inputs.")
@click.option("--output", "-o", type=click.Path(path_type=Path), help="An .npz to write [default: print].")
@click.option("--runner", default=None, help="host, emulator or qemu [default: what fits].")
@click.option("--threads", default=1, show_default=True, type=click.IntRange(1))
@click.option("--count", is_flag=True, help="Count executed instructions (emulator).")
@click.option("--top", type=click.IntRange(1), help="Print the N best classes of the first output.")
def run(directory: Path, inputs: tuple[str, ...], output: Path | None, runner: str | None, threads: int,
        count: bool, top: int | None) -> None:  # fmt: skip
    """Run an artifact on arrays."""
    import numpy as np

    from edgec.runtime.session import load

    with load(directory, runner=runner, threads=threads, count=count) as session:
        feeds = _feeds(inputs, [t.name for t in session.inputs])
        names = [t.name for t in session.outputs]
        arrays = dict(zip(names, session.run(None, feeds), strict=True))
        if count:
            click.echo(f"{session.instructions:,} instructions", err=True)
        labels = session.labels
    if top is not None:
        for line in _best(arrays[names[0]], labels, top):
            click.echo(line)
    if output is None and top is not None:
        return
    if output is None:
        for name, array in arrays.items():
            click.echo(f"{name} {array.dtype}{list(array.shape)}\n{np.array2string(array, threshold=64)}")
        return
    partial = output.with_name(output.name + ".partial")
    try:
        with partial.open("wb") as file:
            np.savez(file, **arrays)  # type: ignore[arg-type]
        partial.replace(output)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise UsageError(f"--output {output} cannot be written: {error.strerror}") from None


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


@commands.command()
@click.argument("directory", type=click.Path(path_type=Path))
@click.option("--model", type=click.Path(path_type=Path), required=True, help="The ONNX model it was built from.")
@_bindings
@click.option("--range", "ranges", multiple=True, metavar="NAME=LO:HI")
@click.option("--inputs", "verify_inputs", default=5, show_default=True, type=click.IntRange(1))
@click.option("--seed", default=0, show_default=True, type=click.IntRange(0))
@click.option("--data", type=click.Path(path_type=Path))
@click.option("--runner", default=None, help="host, emulator or qemu [default: what fits].")
def verify(directory: Path, model: Path, shapes: tuple[str, ...], consts: tuple[str, ...], ranges: tuple[str, ...],
           runner: str | None, **rest: Any) -> None:  # fmt: skip
    """Compare an artifact with onnxruntime on its model, or, of narrower arithmetic, with what its build computed."""
    from edgec.golden import FILE, check_golden
    from edgec.image import parse_image
    from edgec.ir.errors import VerifyError
    from edgec.onnx_import.importer import import_model
    from edgec.onnx_import.options import ImportOptions
    from edgec.options import BuildOptions
    from edgec.receipt_text import figures
    from edgec.runtime.session import load
    from edgec.verify_artifact import verify_session

    with load(directory, runner=runner) as session:
        images = {n: parse_image(n, form) for n, form in session.manifest.raw.get("images", {}).items()}
        bound = _shapes(shapes) or {n: tuple(dims) for n, dims in session.manifest.raw.get("shapes", {}).items()}
        options = BuildOptions(shapes=bound, consts=_consts(consts), ranges=_ranges(ranges), **rest)
        graph = import_model(model, ImportOptions(options.shapes, options.consts)).entries["main"]
        verified = verify_session(session, model, graph, options, images, count=False)
        facts = verified.facts
        outputs, by = facts["verification"]["outputs"], facts["verification"]["reference"]
        golden = directory / FILE
        if golden.exists():  # narrower arithmetic, which the model cannot judge
            outputs, by = check_golden(session, golden), f"{golden.name}, what its build computed,"
            for name, noise in verified.noise.items():
                level = "no noise" if noise is None else f"signal to noise {noise} dB"
                click.echo(f"{name} against the model: {level}")
    for name, output in outputs.items():
        click.echo(f"{name}: {'ok' if output['pass'] else 'FAILED'}, {figures(output)}")
    if "accuracy" in facts:
        scored = facts["accuracy"]
        click.echo(f"accuracy {scored['accuracy']:.4f}, reference {scored['reference_accuracy']:.4f}")
    if not all(output["pass"] for output in outputs.values()):
        raise VerifyError(f"{directory} does not compute what {by} says")


@commands.command()
@click.argument("what", type=click.Path(path_type=Path))
@_bindings
@click.option("--target", "-t", default="", help="Kernel calls and memory map for a target.")
def inspect(what: Path, shapes: tuple[str, ...], consts: tuple[str, ...], target: str) -> None:
    """Operators of a MODEL (the unsupported ones included), or the facts of an artifact."""
    from edgec.inspect_model import inspect_artifact, inspect_model
    from edgec.ir.errors import UnsupportedError
    from edgec.onnx_import.options import ImportOptions

    if what.is_dir() and target:
        raise UsageError(f"--target {target} is for models, and {what} is built already")
    if what.is_dir():
        lines = inspect_artifact(what)
    else:
        lines = inspect_model(what, ImportOptions(_shapes(shapes), _consts(consts)), target)
    try:
        for line in lines:
            click.echo(line)
    except UnsupportedError as error:  # each reason is printed already
        _fail(f"{what} cannot be built: {len(error.reasons)} unsupported", error.exit_code)


@commands.command()
@click.argument("directory", type=click.Path(path_type=Path))
@click.option("--repeat", default=21, show_default=True, type=click.IntRange(1), help="Rounds, or runs with --layers.")
@click.option("--vs", type=click.Choice(["onnxruntime"]), help="Compare with, in one interleaved run.")
@click.option("--model", type=click.Path(path_type=Path), help="The ONNX model, for --vs.")
@click.option("--threads", default=1, show_default=True, type=click.IntRange(1))
@click.option("--runner", default=None, help="host, emulator or qemu [default: what fits].")
@click.option("--layers", is_flag=True, help="Time of each kernel call, or instructions of each function.")
@click.option("--const", "consts", multiple=True, metavar="NAME=VALUE", help="An input that was bound, for --vs.")
@click.option("--range", "ranges", multiple=True, metavar="NAME=LO:HI", help="Where sample inputs lie.")
def bench(directory: Path, repeat: int, vs: str | None, model: Path | None, threads: int, runner: str | None,
          layers: bool, consts: tuple[str, ...], ranges: tuple[str, ...]) -> None:  # fmt: skip
    """Time an artifact on this machine; count instructions where it is emulated."""
    from edgec.bench import bench_directory, bench_layers

    if (vs is None) != (model is None):
        raise UsageError("--vs onnxruntime and --model FILE.onnx go together: give both or none")
    if layers and vs is not None:
        raise UsageError("--layers and --vs are two different runs: give one")
    if layers:
        lines = bench_layers(directory, repeat, _ranges(ranges), threads, runner)
    else:
        lines = bench_directory(directory, repeat, model, _consts(consts), _ranges(ranges), threads, runner)
    for line in lines:
        click.echo(line)


@commands.command()
@click.argument("first", type=click.Path(path_type=Path))
@click.argument("second", type=click.Path(path_type=Path))
@click.option("--input", "-i", "inputs", multiple=True, metavar="[NAME=]FILE",
              help="A .npy, or an .npz of all inputs [default: golden.npz of one of them, else random].")  # fmt: skip
@click.option("--seed", type=click.IntRange(0), help="Random inputs, with this seed.")
@click.option("--range", "ranges", multiple=True, metavar="NAME=LO:HI", help="Where random inputs lie.")
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
    feeds = _feeds(inputs, [t.name for t in both[0].inputs]) if inputs else input_of(*both, seed, _ranges(ranges))
    found = run_diff(*both, feeds, allowed, runner)
    for line in lines(found, str(first), str(second)):
        click.echo(line)
    if json_path is not None:
        write_json(found, json_path)
    return 0 if found.parting is None else 1


@commands.command()
def targets() -> None:
    """List targets and CPUs."""
    from edgec.target_table import TARGETS

    for name, target in TARGETS.items():
        click.echo(f"{name:22} {target.DESCRIPTION}")
        for device in target.devices().values():
            click.echo(f"  {name + ':' + device.name:20} {device.description}")


@commands.command()
def doctor() -> None:
    """Say what this machine can build and run."""
    from edgec.doctor import findings

    for name, found, hint in findings():
        click.echo(f"{name:20} {found or 'missing: ' + hint}")


@commands.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("-p", "--passes", required=True, help='Passes in order, such as "remove_identity,fold_pad".')
def opt(file: Path, passes: str) -> None:
    """Run passes on a graph in text form and print the result."""
    from edgec.ir.parse import parse_module
    from edgec.ir.text import print_module
    from edgec.ir.verify import verify_module
    from edgec.pipeline import parse_passes, run_pipeline

    try:
        text = file.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{file} cannot be read: {error}") from None
    module = parse_module(text)
    verify_module(module)
    run_pipeline(module, parse_passes(passes))
    click.echo(print_module(module), nl=False)
