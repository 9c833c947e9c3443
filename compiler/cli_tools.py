"""Commands about this machine, its targets, and graphs in text form."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from edgec.cli_options import RANGE, bindings, consts_of, ranges_of, shapes_of
from edgec.ir.errors import UsageError


@click.command()
def targets() -> None:
    """List targets and CPUs."""
    from edgec.target_table import COREML, TARGETS
    from edgec.targets.coreml import deployment

    for name, target in TARGETS.items():
        click.echo(f"{name:22} {target.DESCRIPTION}")
        for device in target.devices().values():
            click.echo(f"  {name + ':' + device.name:20} {device.description}")
    click.echo(f"{COREML:22} {deployment.DESCRIPTION}")
    for found in deployment.DEPLOYMENTS.values():
        click.echo(f"  {COREML + ':' + found.name:20} {found.systems}, {found.opset}")


@click.command()
@click.argument("model", required=False, type=click.Path(path_type=Path))
@click.option("--target", "-t", default="coreml", show_default=True, help="coreml or coreml:iosNN.")
@bindings
@click.option("--range", "ranges", multiple=True, metavar="NAME=LO:HI", help=RANGE)
@click.option("--calib", metavar="DATA", help="Samples: file.npz, a folder of .npy, or module:function.")
@click.option("--calib-samples", default=16, show_default=True, type=click.IntRange(2), help="Most of --calib.")
@click.option("--seed", default=0, show_default=True, type=click.IntRange(0), help="Of random samples.")
@click.option("--fix", is_flag=True, help="Build the package, with what halves break in float32.")
@click.option("--output", "-o", type=click.Path(path_type=Path), help="Folder of --fix [default: MODEL-TARGET].")
def doctor(model: Path | None, target: str, shapes: tuple[str, ...], consts: tuple[str, ...], ranges: tuple[str, ...],
           fix: bool, output: Path | None, **rest: Any) -> None:  # fmt: skip
    """Say what this machine can build and run; of a MODEL, what breaks in a Core ML package that computes in halves."""
    if model is None:
        from edgec.doctor import findings

        context, typed = click.get_current_context(), ParameterSource.COMMANDLINE
        given = (p for p in context.command.params if context.get_parameter_source(str(p.name)) is typed)
        if option := next(given, None):
            raise UsageError(f"{option.opts[0]} is about a model: give MODEL before it")
        for name, found, hint in findings():
            click.echo(f"{name:20} {found or 'missing: ' + hint}")
        return
    from edgec.options import BuildOptions

    options = BuildOptions(shapes=shapes_of(shapes), consts=consts_of(consts), ranges=ranges_of(ranges),
                           precision="fp16", fix=fix, **rest)  # fmt: skip
    if fix:
        from edgec.driver import build
        from edgec.receipt_text import render

        folder = output or Path(f"{model.stem}-{target.replace(':', '-')}")
        click.echo(render(build(model, target, folder, options).receipt))
        click.echo(f"{folder} is ready")
        return
    if output is not None:
        raise UsageError("-o says where --fix puts the package: give --fix with it")
    from edgec.fp16_report import fp16_report

    for line in fp16_report(model, target, options):
        click.echo(line)


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("-p", "--passes", required=True, help='Passes in order, such as "remove_identity,palettize{bits=4}".')
@bindings
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Write FILE.edge and its arrays, FILE.npz.")
def opt(file: Path, passes: str, shapes: tuple[str, ...], consts: tuple[str, ...], output: Path | None) -> None:
    """Run passes on an ONNX model, or a graph in text form (arrays in FILE.npz), and print the result."""
    from edgec.graph_files import read_graph, write_graph
    from edgec.ir.text import print_module
    from edgec.onnx_import.options import ImportOptions
    from edgec.pipeline import parse_passes, run_pipeline

    module = read_graph(file, ImportOptions(shapes_of(shapes), consts_of(consts)))
    run_pipeline(module, parse_passes(passes))
    if output is None:
        click.echo(print_module(module), nl=False)
    else:
        write_graph(module, output)
