"""Options of packages, as values: several shapes, functions, states, metadata."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from edgec.cli_options import pairs, shapes_of
from edgec.ir.errors import UsageError
from edgec.package_options import PackageOptions, Shapes

MOST_SIZES = 256  # of a range: each is imported, emitted and compared


def package_options(
    shapes: Iterable[str], functions: Iterable[str], states: Iterable[str], metadata: Iterable[str]
) -> tuple[dict[str, tuple[int, ...]], PackageOptions]:
    """The shapes that the model is imported with first, and what a package needs to know beside them."""
    choices, ranged = _choices(shapes)
    counts = {len(found) for found in choices.values()} - {1}
    if len(counts) > 1:
        raise UsageError("--shape: inputs of several shapes need equally many, since the first go together, and so on")
    each = [{n: found[i % len(found)] for n, found in choices.items()} for i in range(max(counts, default=1))]
    if len({tuple(shapes.items()) for shapes in each}) < len(each):
        raise UsageError("--shape: one of the shapes stands twice; give each once")
    named = {name: {**each[0], **own} for name, own in _functions(functions).items()}
    first = dict(next(iter(named.values()), each[0]))
    options = PackageOptions(
        states=pairs("--state", tuple(states)), metadata=_texts(metadata), variants=tuple(each[1:]), ranged=ranged,
        functions=named,
    )  # fmt: skip
    return first, options


def _choices(items: Iterable[str]) -> tuple[dict[str, list[tuple[int, ...]]], bool]:
    """Shapes by input, and whether they are a range: `x=1x3x8..32`."""
    choices: dict[str, list[tuple[int, ...]]] = {}
    spans: set[str] = set()
    for item in items:
        name, equals, text = item.rpartition("=")
        found = [shape for one in _spread(item, text) for shape in shapes_of((f"{name}{equals}{one}",)).values()]
        if name in choices and (len(found) > 1 or name in spans):
            raise UsageError(f"--shape {item}: an input has a range or several shapes, not both")
        choices.setdefault(name, []).extend(found)
        spans |= {name} if len(found) > 1 else set()
    if spans and any(len(found) > 1 for name, found in choices.items() if name not in spans):
        raise UsageError("--shape: where one input has a range, the others cannot have several shapes")
    return choices, bool(spans)


def _spread(item: str, text: str) -> list[str]:
    """The shapes of a range, as texts."""
    before, dots, after = text.partition("..")
    if not dots:
        return [text]
    low, tail = before.split("x")[-1], after.split("x")
    if not (low.isdigit() and tail[0].isdigit()) or ".." in after or int(low) >= int(tail[0]):
        raise UsageError(f"--shape {item}: write one range, the smaller length first, as 1x3x8..32")
    if int(tail[0]) - int(low) >= MOST_SIZES:
        raise UsageError(f"--shape {item}: a range has at most {MOST_SIZES} lengths, since each is looked at")
    head = before[: len(before) - len(low)]
    return ["x".join((f"{head}{size}", *tail[1:])) for size in range(int(low), int(tail[0]) + 1)]


def _functions(items: Iterable[str]) -> dict[str, Shapes]:
    """`NAME:x=1x3,y=4`."""
    found: dict[str, Shapes] = {}
    for item in items:
        name, colon, text = item.partition(":")
        if not colon or not name or not text or name in found:
            raise UsageError(f"--function {item}: write NAME:INPUT=1x3x8,INPUT=4, each name once")
        found[name] = shapes_of(tuple(text.split(",")))
    return found


def _texts(items: Iterable[str]) -> Mapping[str, str]:
    found = [item.partition("=") for item in items]
    for key, equals, _ in found:
        if not equals or not key:
            raise UsageError(f"--metadata {key}: write KEY=TEXT")
    return {key: text for key, _, text in found}
