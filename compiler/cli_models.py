"""Commands on ONNX models."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from edgec.cli_options import RANGE, bindings, check_samples, consts_of, fail, images_of, ranges_of, shapes_of
from edgec.ir.errors import UsageError


@click.command()
@click.argument("model", type=click.Path(path_type=Path))
@click.option("--target", "-t", required=True,
              help="arm, arm:CPU, host, coreml or coreml:iosNN; `edgec targets` lists them.")  # fmt: skip
@click.option("--output", "-o", type=click.Path(path_type=Path), help="Folder to make [default: MODEL-TARGET].")
@bindings
@click.option("--range", "ranges", multiple=True, metavar="NAME=LO:HI", help=RANGE)
@click.option("--name", default="", help="Prefix of files and functions [default: the model's].")
@click.option("--os", "system", default="linux", show_default=True, help="linux, android, macos, ios or none.")
@click.option("--threads", default=4, show_default=True, type=click.IntRange(1, 64),
              help="Most threads that will run it: more take more scratch memory.")  # fmt: skip
@click.option("--verify", default="auto", show_default=True,
              help="auto, host, emulate, qemu or none; evaluate or coreml for packages.")  # fmt: skip
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
              help="linked, inline (as --single-file), or file: the program hands NAME_weights.bin over.")
@click.option("--layers", is_flag=True, help="Add the error of each operator to the receipt (builds twice).")
@click.option("--precision", default="float32", show_default=True,
              help="float32, fp16, bf16, int8, int8-dynamic, fp8-e4m3, fp8-e5m2, w4a8, w8 or w4.")
@click.option("--calib", metavar="DATA", help="Samples: file.npz, a folder of .npy, or module:function.")
@click.option("--calib-samples", type=click.IntRange(2), show_default="512, or 256 MB", help="Most of --calib.")
@click.option("--observer", default="auto", show_default=True,
              help="minmax, percentile, entropy or mse; auto tries them all (of a package: is mse).")  # fmt: skip
@click.option("--low-rank", default=0, show_default=True, type=click.IntRange(0),
              help="Rank of the floats that make up for rounded weights of matmuls: fp8-*, w8, w4.")  # fmt: skip
@click.option("--max-drop", metavar="SHARE", help="Most accuracy that narrower numbers may lose, such as 0.5%.")
@click.option("--max-error", metavar="SHARE", help="Most error of outputs that narrower numbers may make, such as 2%.")
@click.option("--force", is_flag=True, help="Narrow operators even where that is predicted to be slower.")
@click.option("--integers-only", "whole", is_flag=True,
              help="int8 for all that has an integer form, up to the outputs, at any cost.")  # fmt: skip
@click.option("--encode", default="", metavar="PASSES",
              help='How a package stores weights, such as "palettize{bits=4,group=16}".')  # fmt: skip
@click.option("--fix", is_flag=True, help="Keep in float32 what halves break in a package.")
@click.option("--state", "states", multiple=True, metavar="INPUT=OUTPUT",
              help="Of a package: keep an output inside, as the input of the next call; OUTPUT:last keeps its end.")
@click.option("--function", "functions", multiple=True, metavar="NAME:INPUT=1x8,…",
              help="Of a package: a function for these shapes; several share weights.")  # fmt: skip
@click.option("--metadata", multiple=True, metavar="KEY=TEXT",
              help="Of a package: author, license, version, description, or a key of your own.")  # fmt: skip
@click.option("--rebuild", is_flag=True, help="Build although nothing changed.")
@click.option("-v", "--verbose", is_flag=True, help="Say what is being done.")
def build(model: Path, target: str, output: Path | None, shapes: tuple[str, ...], consts: tuple[str, ...],
          ranges: tuple[str, ...], images: tuple[str, ...], system: str, verbose: bool, single_file: bool, weights: str,
          states: tuple[str, ...], functions: tuple[str, ...], metadata: tuple[str, ...],
          **rest: Any) -> None:  # fmt: skip
    """Compile MODEL for a target and verify the result. For Core ML, an input may have several shapes: --shape more
    than once, or with a range such as x=1x3x64..128."""
    from edgec.cli_package import package_options
    from edgec.driver import build as run_build
    from edgec.options import BuildOptions
    from edgec.receipt_text import render

    check_samples(rest["calib"], bool(ranges or rest["seed"]))
    if single_file and weights != "linked":
        raise UsageError(f"--single-file puts the weights into the C file: --weights {weights} cannot be given with it")
    bound, package = package_options(shapes, functions, states, metadata)
    options = BuildOptions(
        weights="inline" if single_file else weights,  # type: ignore[arg-type]  # checked by the driver
        shapes=bound, package=package, consts=consts_of(consts), ranges=ranges_of(ranges), images=images_of(images),
        os=system, **rest,
    )  # fmt: skip
    folder = output or Path(f"{model.stem}-{target.replace(':', '-')}")
    progress = (lambda text: click.echo(f"  {text}", err=True)) if verbose else (lambda text: None)
    result = run_build(model, target, folder, options, progress)
    click.echo(render(result.receipt))
    click.echo(f"{folder} is {'unchanged' if result.cached else 'ready'}")


@click.command("compare-formats")
@click.argument("model", type=click.Path(path_type=Path))
@click.option("--target", "-t", required=True, help="As for build; `edgec targets` lists them.")
@bindings
@click.option("--range", "ranges", multiple=True, metavar="NAME=LO:HI", help=RANGE)
@click.option("--calib", metavar="DATA", help="Samples: file.npz, a folder of .npy, or module:function.")
@click.option("--calib-samples", type=click.IntRange(2), show_default="512, or 256 MB", help="Most of --calib.")
@click.option("--data", type=click.Path(path_type=Path), help="Labelled data, as for build.")
@click.option("--inputs", "verify_inputs", default=3, show_default=True, type=click.IntRange(1), help="Sample inputs.")
@click.option("--format", "formats", multiple=True, help="One of --precision's; may be repeated [default: all].")
@click.option("--json", "json_path", type=click.Path(path_type=Path), help="A file to write the table to as well.")
def compare(model: Path, target: str, shapes: tuple[str, ...], consts: tuple[str, ...], ranges: tuple[str, ...],
            formats: tuple[str, ...], json_path: Path | None, **rest: Any) -> None:  # fmt: skip
    """Build MODEL in every number format: error, accuracy, bytes and instructions of each."""
    from edgec.compare_formats import compare_formats, table, write_json
    from edgec.options import PRECISIONS, BuildOptions

    check_samples(rest["calib"], bool(ranges))
    options = BuildOptions(shapes=shapes_of(shapes), consts=consts_of(consts), ranges=ranges_of(ranges), **rest)
    chosen = formats or PRECISIONS
    rows = compare_formats(model, target, options, chosen, lambda text: click.echo(f"  {text}", err=True))
    for line in table(rows):
        click.echo(line)
    if json_path is not None:
        write_json(rows, model, target, json_path)


@click.command()
@click.argument("what", type=click.Path(path_type=Path))
@bindings
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
        lines = inspect_model(what, ImportOptions(shapes_of(shapes), consts_of(consts)), target)
    try:
        for line in lines:
            click.echo(line)
    except UnsupportedError as error:  # each reason is printed already
        fail(f"{what} cannot be built: {len(error.reasons)} unsupported", error.exit_code)
