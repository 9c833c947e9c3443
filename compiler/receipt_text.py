"""The receipt as a few lines for a terminal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

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


def narrowed_lines(receipt: Facts) -> Iterator[str]:
    """What is stored or computed in fewer bits, of a package or a library."""
    if "quantization" in receipt:
        lines = _package_bytes if "package" in receipt else quantization_lines
        yield from lines(receipt["quantization"])
        for row in receipt["quantization"].get("rounded_in_blocks", ()):
            yield f"  rounded in {row['blocks']} blocks of its {row['products']:,} products to save memory: {row['op']}"
    if "halves" in receipt:
        yield from _halves(receipt["halves"])
    if "encoded" in receipt:
        forms = ", ".join(f"{n} {form}" for form, n in receipt["encoded"]["weights"].items()) or "none"
        idle = receipt["encoded"].get("without_effect")
        nothing = f"; nothing was left to encode for {', '.join(idle)}" if idle else ""
        yield f"  weights by {receipt['encoded']['passes']}: {forms}{nothing}"


def _package_bytes(q: Facts) -> Iterator[str]:
    """What reads bytes, by ranges of samples or by the model's own scales."""
    data = q["calibration"]
    if data and data["warning"]:
        yield f"  WARNING: {data['warning']}"
    share = f"{q['operators_on_bytes']} operators with {q['macs_share']:.1%} of the multiply-adds"
    source = "by its own scales"
    if data:
        source = f"int8 weights; ranges by {data['observer']} of {data['samples']} samples"
    yield f"  {q['precision']}: {share} read bytes{' and' if data else ';'} {source}"
    reasons: dict[str, Counter[str]] = {}
    for row in q.get("kept_in_floats", ()):
        reasons.setdefault(row["why"], Counter())[row["kind"]] += 1
    for why, kinds in reasons.items():
        yield f"  in floats: {', '.join(f'{n} {kind}' for kind, n in sorted(kinds.items()))}: {why}"


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


_ROUNDING = {"gptq": "by what they are multiplied with", "nearest": "to the nearest"}


def _nothing(q: Facts) -> Iterator[str]:
    if not q["operators_on_bytes"]:
        yield "  WARNING: nothing became int8; the receipt says why of each operator (kept_in_floats, refused)"


def quantization_lines(q: Facts) -> Iterator[str]:
    """What works on bytes, and what does not."""
    data = q["calibration"]
    if "multiply_adds_in_floats" in q:
        yield (
            f"  {q['precision']}: {q['operators_on_bytes']} products with {q['macs_share']:.1%} of the multiply-adds "
            "work on bytes, with scales found at run time"
        )
        yield from _nothing(q)
        kept = ", ".join(f"{n} {kind}" for kind, n in q["multiply_adds_in_floats"].items())
        if kept:
            yield f"  in floats: {kept}"
        if data and data["warning"]:
            yield f"  WARNING: {data['warning']}"
        if q.get("trials"):
            yield _trials(q["trials"], f"weights rounded {_ROUNDING[q['rounding']]}")
        yield from _search(q)
        yield from _kept(q)
        yield from _smoothed(q)
        return
    if "weights" in q:
        yield from _coded_weights(q)
        return
    if data and data["warning"]:
        yield f"  WARNING: {data['warning']}"
    source = "by its own scales"
    if data:
        source = f"ranges by {data['observer']} of {data.get('measured', data['samples'])} samples of {data['source']}"
    yield (
        f"  {q['precision']}: {q['operators_on_bytes']} operators with {q['macs_share']:.1%} of the multiply-adds work "
        f"on bytes; {source}"
    )
    yield from _nothing(q)
    if q.get("trials"):
        yield _trials(q["trials"], data["weights"]) + (", made once more on all samples" if data["refitted"] else "")
    if q.get("channels_rounded_again"):
        yield f"  weights beyond [-127, 127], rounded again: {q['channels_rounded_again']} channels"
    if q.get("weights_of_four_bits"):
        yield f"  weights of {q['weights_of_four_bits']} operators have four bits, in groups of 32"
    kept = ", ".join(f"{n} {kind}" for kind, n in q["operators_in_floats"].items())
    if kept:
        yield f"  in floats: {kept}{'' if data else ', for which the model has no scales'}"
    if "coded" in q:
        yield from _coded_weights(q["coded"])
    if "halves" in q:
        yield from _halves(q["halves"])
    yield from _search(q)
    plain = ", ".join(f"{n} {kind}" for kind, n in q.get("operators_in_plain_integers", {}).items())
    if plain:
        yield f"  in plain loops: {plain}"
    yield from _kept(q)
    yield from _smoothed(q)
    for (code, why), count in Counter((row["code"], row["why"]) for row in q["refused"]).most_common():
        yield f"  in floats between bytes: {code}: {count}, {why}"
    known = [layer for layer in q["layers"] if layer["signal_to_noise_db"] is not None]
    if known:
        worst = min(known, key=lambda layer: float(layer["signal_to_noise_db"]))
        yield f"  noisiest operator: {worst['op']}, {worst['signal_to_noise_db']} dB"


def _search(q: Facts) -> Iterator[str]:
    if "search" in q:
        found = q["search"]
        facts = _measured(found["measured"])
        eight = f"int8 weights of {found['weights_of_bytes']} and " if "weights_of_bytes" in found else ""
        yield f"  {found['bound']}: met with {eight}{found['in_floats']} operators in floats: {facts}"
        if "model_accuracy" in found:
            yield f"  accuracy of the model on these {found['items']} items: {found['model_accuracy']:.3f}"
            if found["warning"]:
                yield f"  WARNING: {found['warning']} ({found['most_frequent_label']:.3f} of the items)"


def _measured(loss: Facts) -> str:
    return ", ".join(f"{name} {value}" for name, value in loss.items())


def _kept(q: Facts) -> Iterator[str]:
    for (code, why), count in Counter((row["code"], row["why"]) for row in q.get("kept_in_floats", ())).most_common():
        yield f"  not on bytes: {code}: {count}, {why}"


def _smoothed(q: Facts) -> Iterator[str]:
    if found := q.get("smoothed"):
        most = max(float(row["less_noise_db"]) for row in found)
        yield f"  scales of channels moved into weights: of {len(found)} values, for up to {most} dB less noise there"


def _halves(h: Facts) -> Iterator[str]:
    does = "multiply bf16 and add in float32" if h["precision"] == "bf16" else "work on halves"
    share = f"{h['operators_in_halves']} operators with {h['macs_share']:.1%} of the multiply-adds"
    yield f"  {h['precision']}: {share} {does}"
    data = h.get("calibration")
    if data and data["warning"]:
        yield f"  WARNING: {data['warning']}"
    yield from _search(h)
    if h["code"]:
        lost = f" ({_measured(h['measured'])})" if "measured" in h else ""
        yield f"  {h['code']}: {h['why']}{lost}"
    for (code, why), count in Counter((row["code"], row["why"]) for row in h["refused"]).most_common():
        kinds = Counter(row["op"].partition(" ")[0] for row in h["refused"] if row["code"] == code)
        shown = ", ".join(f"{n} {kind}" for kind, n in sorted(kinds.items()))
        yield f"  in floats: {code}: {count} ({shown}), {why}"


def _coded_weights(q: Facts) -> Iterator[str]:
    if q["calibration"] is not None and q["calibration"]["warning"]:
        yield f"  WARNING: {q['calibration']['warning']}"
    formats = ", ".join(f"{n} {name}" for name, n in sorted(Counter(row["format"] for row in q["weights"]).items()))
    yield (
        f"  {q['precision']}: weights of {q['coded_operators']} operators with {q['coded_macs_share']:.1%} of the "
        f"multiply-adds are coded ({formats})"
    )
    yield from _search(q)
    if q.get("tables"):
        yield f"  rows of {len(q['tables'])} tables are gathered as codes"
    if "values_in_bytes" in q:
        yield f"  {q['values_in_bytes']} values that they read are stored as bytes, and decoded where they are read"
        kept = ", ".join(f"{n} {kind}" for kind, n in q["operators_in_floats"].items())
        yield f"  in floats: {kept or 'nothing else'}"
    if q.get("code"):
        yield f"  {q['macs_on_codes']:.1%} of the multiply-adds read them as they lie in memory"
        yield f"  {q['code']}: {q['why']}"
    if q["low_rank"]:
        given = f"{len(q['low_rank_operators'])} " if "low_rank_operators" in q else ""
        gained = [level for level in q.get("low_rank_gained_db", ()) if level is not None]
        cost = f": {q['low_rank_bytes']:,} B for {min(gained)} to {max(gained)} dB" if gained else ""
        yield f"  floats of rank {q['low_rank']} give back what rounding takes from the weights of {given}matmuls{cost}"
    yield from _kept(q)
    for (code, why), count in Counter((row["code"], row["why"]) for row in q.get("refused", ())).most_common():
        yield f"  weights in floats: {code}: {count}, {why}"
    if q["weights_in_floats"]:
        yield f"  weights in floats: {', '.join(q['weights_in_floats'])}"
    known = [row for row in q["weights"] if row["signal_to_noise_db"] is not None]
    if known:
        worst = min(known, key=lambda row: float(row["signal_to_noise_db"]))
        yield f"  noisiest weights: {worst['op']}, {worst['signal_to_noise_db']} dB"


def _trials(trials: Facts, weights: str) -> str:
    levels = [row["signal_to_noise_db"] for row in trials["tried"] if row["signal_to_noise_db"] is not None]
    heard = f", which heard {min(levels, key=float)} to {max(levels, key=float)} dB" if levels else ""
    ways = f"the best of {len(trials['tried'])} ways on {trials['samples']} samples that no weights were settled on"
    return f"  {weights}; {ways}{heard}"


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
