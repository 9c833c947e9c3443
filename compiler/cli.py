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
@click.option("--verify", default="auto", show_default=True, help="auto, host, emulate or none.")
@click.option("--inputs", "verify_inputs", default=3, show_default=True, type=click.IntRange(1), help="Sample inputs.")
@click.option("--seed", default=0, show_default=True, type=click.IntRange(0), help="Of the sample inputs.")
@click.option(
    "--data", type=click.Path(path_type=Path), help="Labelled data: .npz with one array an input and `labels`."
)
@click.option("--force", is_flag=True, help="Build although nothing changed.")
@click.option("-v", "--verbose", is_flag=True, help="Say what is being done.")
def build(model: Path, target: str, output: Path | None, shapes: tuple[str, ...], consts: tuple[str, ...],
          ranges: tuple[str, ...], system: str, verbose: bool, **rest: Any) -> None:  # fmt: skip
    """Compile MODEL for a target and verify the result."""
    from edgec.driver import build as run_build
    from edgec.options import BuildOptions
    from edgec.receipt import render

    options = BuildOptions(shapes=_shapes(shapes), consts=_consts(consts), ranges=_ranges(ranges), os=system, **rest)
    folder = output or Path(f"{model.stem}-{target.replace(':', '-')}")
    progress = (lambda text: click.echo(f"  {text}", err=True)) if verbose else (lambda text: None)
    result = run_build(model, target, folder, options, progress)
    click.echo(render(result.receipt))
    click.echo(f"{folder} is {'unchanged' if result.cached else 'ready'}")


@commands.command()
@click.argument("directory", type=click.Path(path_type=Path))
@click.option("--input", "-i", "inputs", multiple=True, metavar="[NAME=]FILE", help="A .npy, or an .npz of all inputs.")
@click.option("--output", "-o", type=click.Path(path_type=Path), help="An .npz to write [default: print].")
@click.option("--runner", default=None, help="host or emulator [default: what fits].")
@click.option("--threads", default=1, show_default=True, type=click.IntRange(1))
@click.option("--count", is_flag=True, help="Count executed instructions (emulator).")
def run(directory: Path, inputs: tuple[str, ...], output: Path | None, runner: str | None, threads: int,
        count: bool) -> None:  # fmt: skip
    """Run an artifact on arrays."""
    import numpy as np

    from edgec.runtime.session import load

    with load(directory, runner=runner, threads=threads, count=count) as session:
        feeds = _feeds(inputs, [t.name for t in session.inputs])
        names = [t.name for t in session.outputs]
        arrays = dict(zip(names, session.run(None, feeds), strict=True))
        if count:
            click.echo(f"{session.instructions:,} instructions", err=True)
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


def _feeds(inputs: tuple[str, ...], names: list[str]) -> dict[str, Any]:
    import numpy as np

    from edgec.verify_artifact import read_data

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
@click.option("--runner", default=None)
def verify(directory: Path, model: Path, shapes: tuple[str, ...], consts: tuple[str, ...], ranges: tuple[str, ...],
           runner: str | None, **rest: Any) -> None:  # fmt: skip
    """Compare an artifact with onnxruntime on its model."""
    from edgec.ir.errors import VerifyError
    from edgec.onnx_import.importer import import_model
    from edgec.onnx_import.options import ImportOptions
    from edgec.options import BuildOptions
    from edgec.runtime.session import load
    from edgec.verify_artifact import verify_session

    with load(directory, runner=runner) as session:
        bound = _shapes(shapes) or {t.name: t.shape for t in session.inputs}
        options = BuildOptions(shapes=bound, consts=_consts(consts), ranges=_ranges(ranges), **rest)
        graph = import_model(model, ImportOptions(options.shapes, options.consts)).entries["main"]
        result, scored = verify_session(session, model, graph, options, count=False)
    for name, output in result["outputs"].items():
        figures = ", ".join(f"{k} {v:.3g}" for k, v in output.items() if isinstance(v, float))
        click.echo(f"{name}: {'ok' if output['pass'] else 'FAILED'} {output.get('reason', figures)}")
    if scored is not None:
        click.echo(f"accuracy {scored['accuracy']:.4f}, reference {scored['reference_accuracy']:.4f}")
    if not result["pass"]:
        raise VerifyError(f"{directory} does not compute what {result['reference']} computes")


@commands.command()
@click.argument("what", type=click.Path(path_type=Path))
@_bindings
def inspect(what: Path, shapes: tuple[str, ...], consts: tuple[str, ...]) -> None:
    """Operators of a MODEL (the unsupported ones included), or the facts of an artifact."""
    if what.is_dir():
        from edgec.runtime.manifest import check_files, read_manifest

        manifest = read_manifest(what)
        check_files(manifest)
        for key in ("name", "target", "cpu", "os", "scratch_bytes", "state_bytes", "weights_bytes", "edgec"):
            click.echo(f"{key:14} {manifest.raw[key]}")
        for kind, tensors in (("input", manifest.inputs), ("output", manifest.outputs)):
            for tensor in tensors:
                click.echo(f"{kind:14} {tensor.name} {tensor}")
        return
    from collections import Counter

    from edgec.onnx_import.importer import import_model
    from edgec.onnx_import.options import ImportOptions

    graph = import_model(what, ImportOptions(_shapes(shapes), _consts(consts))).entries["main"]
    for kind, count in Counter(op.kind for op in graph.ops).most_common():
        click.echo(f"{count:6} {kind}")
    for value in graph.inputs:
        click.echo(f"input  {value.name} {value.type}")
    for name, value in graph.outputs:
        click.echo(f"output {name} {value.type}")


@commands.command()
@click.argument("directory", type=click.Path(path_type=Path))
@click.option("--repeat", default=50, show_default=True, type=click.IntRange(1))
@click.option("--vs", type=click.Choice(["onnxruntime"]), help="Compare with, in one interleaved run.")
@click.option("--model", type=click.Path(path_type=Path), help="The ONNX model, for --vs.")
@click.option("--threads", default=1, show_default=True, type=click.IntRange(1))
def bench(directory: Path, repeat: int, vs: str | None, model: Path | None, threads: int) -> None:
    """Time an artifact on this machine; instructions where it is emulated."""
    from edgec.bench import bench_directory

    for line in bench_directory(directory, repeat, model if vs else None, bool(vs), threads):
        click.echo(line)


@commands.command()
def targets() -> None:
    """List targets and CPUs."""
    from edgec.driver import TARGETS

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
    from edgec.ir.text import parse_module, print_module
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
