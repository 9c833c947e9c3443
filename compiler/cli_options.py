"""Options that several commands take, as values, and how a command fails."""

from __future__ import annotations

import math
import sys
from typing import Any

import click

from edgec.ir.errors import UsageError, one_sentence


def fail(message: str, code: int) -> None:
    click.echo(f"edgec: {one_sentence(message)}", err=True)
    sys.exit(code)


def pairs(option: str, items: tuple[str, ...]) -> dict[str, str]:
    found: dict[str, str] = {}
    for item in items:
        name, equals, value = item.rpartition("=")
        if not equals or not name or not value:
            raise UsageError(f"{option} {item}: write NAME=VALUE")
        found[name] = value
    return found


def shapes_of(items: tuple[str, ...]) -> dict[str, tuple[int, ...]]:
    shapes: dict[str, tuple[int, ...]] = {}
    for name, text in pairs("--shape", items).items():
        parts = text.replace(",", "x").split("x")
        if not all(p.isascii() and p.isdigit() for p in parts):
            raise UsageError(f"--shape {name}={text}: write lengths as 1x3x224x224")
        shapes[name] = tuple(int(p) for p in parts)
    return shapes


def consts_of(items: tuple[str, ...]) -> dict[str, Any]:
    import numpy as np

    consts = {}
    for name, text in pairs("--const", items).items():
        try:
            consts[name] = np.load(text, allow_pickle=False) if text.endswith(".npy") else np.array(_numbers(text))
        except (ValueError, OSError):
            raise UsageError(f"--const {name}={text}: write a number, numbers as 1,2,3, or a .npy file") from None
    return consts


def _numbers(text: str) -> Any:
    values = [float(t) if any(c in t for c in ".en") else int(t) for t in text.split(",")]
    return values[0] if len(values) == 1 else values


def ranges_of(items: tuple[str, ...]) -> dict[str, tuple[float, float]]:
    ranges = {}
    for name, text in pairs("--range", items).items():
        try:
            low, high = (float(t) for t in text.split(":"))
        except ValueError:
            raise UsageError(f"--range {name}={text}: write LOW:HIGH") from None
        if not -math.inf < low <= high < math.inf:
            raise UsageError(f"--range {name}={text}: LOW must not be above HIGH, and both must be finite numbers")
        ranges[name] = (low, high)
    return ranges


def check_samples(calib: str | None, random: bool) -> None:
    """UsageError where options of random inputs stand beside samples."""
    if calib is not None and random:
        raise UsageError(
            "--range and --seed are for random inputs, and what is built is compared on the samples of --calib: leave "
            "them out, or --calib"
        )


def images_of(items: tuple[str, ...]) -> dict[str, str]:
    """NAME:FORM; an ONNX name may hold colons, a form holds none."""
    images = {}
    for item in items:
        name, colon, form = item.rpartition(":")
        if not colon or not name:
            raise UsageError(f"--image {item}: write NAME:rgb8,nhwc,mean=0.485/0.456/0.406,std=0.229/0.224/0.225")
        images[name] = form
    return images


RANGE = (  # help of --range
    "Where random inputs lie [default: floats normally around 0, u8 and i8 anywhere, wider integers 0 or 1]."
)
_BINDINGS = (
    click.option("--shape", "shapes", multiple=True, metavar="NAME=1x3x8", help="Bind the shape of an input."),
    click.option("--const", "consts", multiple=True, metavar="NAME=VALUE", help="Bind an input to a constant."),
)


def bindings(command: Any) -> Any:
    for option in _BINDINGS:
        command = option(command)
    return command
