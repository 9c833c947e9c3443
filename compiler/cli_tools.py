"""Commands about this machine, its targets, and graphs in text form."""

from __future__ import annotations

from pathlib import Path

import click

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
def doctor() -> None:
    """Say what this machine can build and run."""
    from edgec.doctor import findings

    for name, found, hint in findings():
        click.echo(f"{name:20} {found or 'missing: ' + hint}")


@click.command()
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
