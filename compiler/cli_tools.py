"""Commands about this machine, its targets, and graphs in text form."""

from __future__ import annotations

from pathlib import Path

import click

from edgec.cli_options import bindings, consts_of, shapes_of


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
def doctor() -> None:
    """Say what this machine can build and run."""
    from edgec.doctor import findings

    for name, found, hint in findings():
        click.echo(f"{name:20} {found or 'missing: ' + hint}")


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
