"""The receipt as a few lines for a terminal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from edgec.narrowed_text import narrowed_lines

Facts = Mapping[str, Any]
SAVED = {"bytes_saved": "B of traffic", "scratch_bytes_saved": "B of scratch", "macs_saved": "multiply-adds"}
MOSTLY_NOISE = 5.0  # dB: below, noise has a third of the power or more
SHOWN = 10  # items of a kind


def render(receipt: Facts) -> str:
    """What `edgec build` prints."""
    return "\n".join(_lines(receipt))


def figures(result: Facts) -> str:
    """One comparison in words."""
    if "max_abs_error" in result:
        level = f", signal to noise {result['signal_to_noise_db']} dB" if "signal_to_noise_db" in result else ""
        level += f", and {result['asked_db']} dB are asked beside bytes" if "asked_db" in result else ""
        return f"max error {result['max_abs_error']:.3g} ({result['relative_to_max']:.2g} of the largest){level}"
    return str(result.get("reason") or f"{result['different']} of {result['elements']} differ")


def _lines(receipt: Facts) -> Iterator[str]:
    if "package" in receipt:
        yield from _package(receipt)
    else:
        yield from _library(receipt)
    yield from checked_lines(receipt)


def _package(receipt: Facts) -> Iterator[str]:
    package = receipt["package"]
    yield (
        f"{receipt['name']} for {receipt['target']}: {receipt['operators']['before']} operators became "
        f"{receipt['operators']['calls']} of MIL ({package['opset']}), {receipt['macs'] / 1e6:.2f} M multiply-adds"
    )
    sizes = f"package {package['bytes']:,} B   weights {package['weights_bytes']:,} B"
    yield f"  {sizes}   computes in {package['compute']}"

    yield from narrowed_lines(receipt)
    for note in receipt["notes"]:
        yield f"  note: {note}"
    if "fp16" in receipt:
        yield from _mended(receipt["fp16"])
    yield from leaving_lines(receipt["residency"])


def leaving_lines(leaving: Facts) -> Iterator[str]:
    """What is known to leave the Neural Engine, a line a reason."""
    reasons: dict[str, Counter[str]] = {}
    for row in leaving["known_to_leave"]:
        reasons.setdefault(row["why"], Counter())[row["kind"]] += row["count"]
    for why, kinds in reasons.items():
        shown = ", ".join(f"{n} {kind}" for kind, n in sorted(kinds.items()))
        yield f"  leaves the Neural Engine: {kinds.total()} of {leaving['operators']} operators ({shown}): {why}"


def _mended(fp16: Facts) -> Iterator[str]:
    for row in fp16["found"][:SHOWN]:
        yield f"  in halves: {row['op']} {row['what']}: {row['detail']}"
    kept = fp16["kept_in_float32"]
    more = f" and {len(kept) - SHOWN} more" if len(kept) > SHOWN else ""
    yield f"  kept in float32: {', '.join(kept[:SHOWN]) or 'nothing'}{more}"


def _library(receipt: Facts) -> Iterator[str]:
    memory = receipt["memory"]
    yield (
        f"{receipt['name']} for {receipt['target']}: {receipt['operators']['before']} operators became "
        f"{receipt['operators']['calls']} kernel calls, {receipt['macs'] / 1e6:.2f} M multiply-adds"
    )
    yield (
        f"  weights {memory['weights_bytes']:,} B   scratch {memory['scratch_bytes']:,} B   "
        f"state {memory['state_bytes']:,} B   code {memory['code_bytes']:,} B   "
        + ("stack unknown" if memory["stack_bytes"] is None else f"stack below {memory['stack_bytes']:,} B")
    )
    if len(memory.get("weights_by_kind", {})) > 1:
        parts = sorted(memory["weights_by_kind"].items(), key=lambda item: -int(item[1]))
        yield "  weights: " + ", ".join(f"{size:,} B of {kind}" for kind, size in parts)
    yield from narrowed_lines(receipt)
    yield from account_lines(receipt)


def checked_lines(receipt: Facts) -> Iterator[str]:
    """What was compared, and how it came out."""
    if "verification" not in receipt:
        yield "  not verified"
        return
    yield from _verification(receipt["verification"])
    if "layers" in receipt:
        yield from _layers(receipt["layers"])
    if "accuracy" in receipt:
        yield from _accuracy(receipt["accuracy"])


def saved(row: Facts) -> list[str]:
    """What a row of `gains` saved, where that is known; it may have cost some of one to save of the other."""
    known = [(row[key], unit) for key, unit in SAVED.items() if key in row]
    return [f"{'saving' if amount >= 0 else 'at the cost of'} {abs(amount):,} {unit}" for amount, unit in known]


def account_lines(receipt: Facts) -> Iterator[str]:
    """What was modelled, gained and not applied."""
    cost = receipt["cost"]
    under = cost["under_waterline"]
    share = under["macs"] / cost["macs"] if cost["macs"] else 0.0
    yield (
        f"  modelled: {cost['bytes'] / 1e6:.2f} MB read and written, {cost['operations_per_byte']:.1f} operations a "
        f"byte; {under['steps']} of {cost['steps']} steps, with {share:.1%} of the multiply-adds, wait for their bytes"
    )
    for row in receipt["gains"]:
        yield f"  gained: {row['what']}: {row['count']}{''.join(f', {part}' for part in saved(row))}"
    for row in receipt["not_applied"]:
        yield f"  not applied: {row['code']}: {row['count']}, {row['why']}"


def _verification(verification: Facts) -> Iterator[str]:
    yield (
        f"  executed on {verification['executed_on']}, compared with {verification['reference']} on "
        f"{compared(verification)}"
    )
    for name, result in verification["outputs"].items():
        yield f"  output {name}: {'ok' if result['pass'] else 'FAILED'}, {figures(result)}"
    if "float_islands" in verification:
        found = verification["float_islands"]
        yield (
            f"  float islands: {found['islands']}; of {found['bytes']:,} bytes behind them "
            f"{found['bytes_off']:,} are off, by {found['largest_step']} steps at most"
        )
    if "steps" in verification:
        found = verification["steps"]
        wrong = "" if found["pass"] else "; FAILED: what they read is beyond the tolerance"
        yield (
            f"  steps (argmax, comparisons, roundings and the like): {found['steps']}, judged by the artifact's own "
            f"operands; {found['different']:,} of {found['elements']:,} results differ from the interpreter's{wrong}"
        )
    if "against_model" in verification:
        of_model = verification["against_model"]
        for name, noise in of_model["signal_to_noise_db"].items():
            yield f"  output {name} against {of_model['reference']}: {noise_level(noise)}{noise_warning(noise)}"
    if "instructions" in verification:
        yield f"  {verification['instructions'] / 1e6:.2f} M instructions an inference"


def noise_level(noise: float | str | None) -> str:
    """What a receipt has of an output, in words."""
    return "no noise" if noise is None else f"signal to noise {noise} dB"


def noise_warning(noise: float | str | None) -> str:
    """What is said behind the level, where that is low."""
    return "" if noise is None or float(noise) > MOSTLY_NOISE else "; WARNING: much of it is noise"


def compared(verification: Facts) -> str:
    """The inputs in words."""
    real, count = verification.get("calibration_samples"), verification["inputs"]
    if real is None:  # a receipt of an older edgec, which `edgec inspect` shows
        return f"{count} inputs"
    random = f"{count - real} random input{'s' * (count - real > 1)} (seed {verification['seed']})"
    if not real:
        return random
    samples = f"{real} sample{'s' * (real > 1)} of --calib"
    return f"{samples} and {random}" if real < count else samples


def _layers(layers: Sequence[Facts]) -> Iterator[str]:
    against = Counter(layer["against"] for layer in layers)
    yield "  layers compared: " + ", ".join(f"{count} with {label}" for label, count in against.most_common())
    worst = max(layers, key=lambda layer: float(layer.get("relative_to_max", 0.0)))
    yield f"  worst layer: {worst['op']}, {figures(worst)}"
    levels = [layer for layer in layers if layer.get("against_model_db") is not None]
    if levels:
        noisiest = min(levels, key=lambda layer: float(layer["against_model_db"]))
        yield f"  noisiest layer against the model: {noisiest['op']}, {noisiest['against_model_db']} dB"
    beyond = [layer for layer in layers if not layer["pass"]]
    if beyond:
        yield (
            f"  {len(beyond)} layers are beyond the tolerance that outputs must keep, the first is {beyond[0]['op']}: "
            f"{figures(beyond[0])}"
        )


def _accuracy(a: Facts) -> Iterator[str]:
    low, high = a["confidence_95"]
    yield (
        f"  accuracy {a['accuracy']:.3f} ({a['right']}/{a['images']}, 95 % confidence "
        f"{low:.3f} to {high:.3f}); reference {a['reference_accuracy']:.3f}; {len(a['flipped'])} answers differ"
    )
    low, high = a["drop_confidence_95"]
    yield (
        f"  {a['newly_wrong']} newly wrong, {a['newly_right']} newly right: a drop of {a['drop']:.2%}, 95 % "
        f"confidence {low:.2%} to {high:.2%}"
    )
    yield from _flipped(a)
    worst = a["worst_class"]
    name = worst.get("label", f"class {worst['class']}")
    yield f"  worst class: {name}, {worst['accuracy']:.3f} of {worst['images']}"


def _flipped(a: Facts) -> Iterator[str]:
    """Which items, and the class that loses most."""
    for what in ("newly_wrong", "newly_right"):
        shown = ", ".join(map(str, a[f"{what}_items"][:SHOWN]))
        if shown:
            yield f"  {what.replace('_', ' ')}: items {shown}{', …' if a[what] > SHOWN else ''}"
    most = a["class_that_loses_most"]
    if most is not None:
        yield (
            f"  the class that loses most: {most.get('label', most['class'])}, {most['before']:.3f} to "
            f"{most['after']:.3f} of {most['items']}"
        )
