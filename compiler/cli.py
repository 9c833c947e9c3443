"""The `edgec` command: parse, call, print. Everything heavy is imported inside the command that needs it."""

from __future__ import annotations

import signal
import sys

import click

from edgec.cli_artifacts import bench, diff, run, verify
from edgec.cli_models import build, compare, inspect
from edgec.cli_options import fail
from edgec.cli_tools import doctor, opt, targets
from edgec.ir.errors import EdgecError, UsageError
from edgec.runtime.errors import RunError

COMMANDS = (build, compare, run, verify, inspect, bench, diff, targets, doctor, opt)
TOO_LITTLE_MEMORY = 9  # exit code


class Terminated(KeyboardInterrupt):
    """SIGTERM: what Ctrl-C cleans up is cleaned up."""


def _terminate(number: int, frame: object) -> None:
    raise Terminated


def main() -> None:
    """Runs the command; every foreseen error is one line on stderr and an exit code."""
    signal.signal(signal.SIGTERM, _terminate)
    try:
        code = commands.main(standalone_mode=False)
        sys.exit(code if isinstance(code, int) else 0)
    except click.exceptions.Exit as done:
        sys.exit(done.exit_code)
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        sys.exit(2)
    except click.ClickException as error:
        fail(error.format_message(), 2)
    except click.Abort as stopped:
        sys.exit(128 + (signal.SIGTERM if isinstance(stopped.__cause__, Terminated) else signal.SIGINT))
    except EdgecError as error:
        fail(str(error), error.exit_code)
    except RunError as error:
        fail(str(error), 7)
    except MemoryError:
        fail("this machine has too little memory for the model", TOO_LITTLE_MEMORY)
    except OSError as error:
        fail(f"{error.filename or 'a file'} cannot be used: {error.strerror or error}", UsageError.exit_code)


@click.group(commands=COMMANDS, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="edgec")
def commands() -> None:
    """Compile ONNX models for the edge."""
