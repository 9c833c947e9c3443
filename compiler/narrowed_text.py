"""What a receipt tells of fewer bits: what works on bytes or halves, which weights are coded, what is in floats."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

Facts = Mapping[str, Any]
_ROUNDING = {"gptq": "by what they are multiplied with", "nearest": "to the nearest"}


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
    yield from _by_reason("in floats between bytes", q["refused"])
    yield from _noisiest("operator", q["layers"])


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
    yield from _by_reason("weights in floats", q.get("refused", ()))
    if q["weights_in_floats"]:
        yield f"  weights in floats: {', '.join(q['weights_in_floats'])}"
    yield from _noisiest("weights", q["weights"])


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


def _trials(trials: Facts, weights: str) -> str:
    levels = [row["signal_to_noise_db"] for row in trials["tried"] if row["signal_to_noise_db"] is not None]
    heard = f", which heard {min(levels, key=float)} to {max(levels, key=float)} dB" if levels else ""
    ways = f"the best of {len(trials['tried'])} ways on {trials['samples']} samples that no weights were settled on"
    return f"  {weights}; {ways}{heard}"


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


def _nothing(q: Facts) -> Iterator[str]:
    if not q["operators_on_bytes"]:
        yield "  WARNING: nothing became int8; the receipt says why of each operator (kept_in_floats, refused)"


def _kept(q: Facts) -> Iterator[str]:
    yield from _by_reason("not on bytes", q.get("kept_in_floats", ()))


def _by_reason(what: str, rows: Iterable[Facts]) -> Iterator[str]:
    """A line a code, the most frequent first."""
    for (code, why), count in Counter((row["code"], row["why"]) for row in rows).most_common():
        yield f"  {what}: {code}: {count}, {why}"


def _noisiest(what: str, rows: Iterable[Facts]) -> Iterator[str]:
    """Of those whose noise is known."""
    known = [row for row in rows if row["signal_to_noise_db"] is not None]
    if known:
        worst = min(known, key=lambda row: float(row["signal_to_noise_db"]))
        yield f"  noisiest {what}: {worst['op']}, {worst['signal_to_noise_db']} dB"


def _smoothed(q: Facts) -> Iterator[str]:
    if found := q.get("smoothed"):
        most = max(float(row["less_noise_db"]) for row in found)
        yield f"  scales of channels moved into weights: of {len(found)} values, for up to {most} dB less noise there"
