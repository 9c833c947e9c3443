"""report.html: the receipt and the plan as one static page, to be read without edgec and without a network.

In: what receipt.json and plan.json hold. Out: the same bytes each time. Names come from a model and from files, so
every text is spelled (`one_sentence`) and escaped, and the page forbids itself scripts and anything from outside.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from edgec.ir.errors import one_sentence
from edgec.narrowed_text import narrowed_lines
from edgec.receipt_text import compared, figures, noise_level, noise_warning, saved

FILE = "report.html"
Facts = Mapping[str, Any]
WIDTH, HEIGHT = 1000, 320  # of the memory map, in its own units
BAR = 12  # em of the longest bar

HEAD = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width">
<title>{title}</title>
<style>
body {{ font: 15px/1.45 system-ui, sans-serif; margin: 2em auto; max-width: 75em; padding: 0 1em; color: #222 }}
h1 {{ font-size: 1.5em }} h2 {{ font-size: 1.15em; margin-top: 2em }}
table {{ border-collapse: collapse; font-size: 13px }}
th, td {{ border-bottom: 1px solid #ddd; padding: .2em .7em; text-align: left; vertical-align: top }}
td {{ overflow-wrap: anywhere }} .n {{ text-align: right; white-space: nowrap; font-variant-numeric: tabular-nums }}
.bad {{ background: #fdd }} .note {{ color: #666; max-width: 60em }}
.bar {{ background: #69b; height: .8em; display: inline-block }} .wait {{ background: #d95 }}
svg {{ width: 100%; border: 1px solid #ccc; background: #fafafa }}
rect {{ fill: #9bd; stroke: #357; stroke-width: .5 }} rect.own {{ fill: #fc9 }}
</style>
</head>
<body>
"""


@dataclass(frozen=True)
class Html:
    """A cell that is HTML already."""

    code: str


def report(receipt: Facts, plan: Facts) -> bytes:
    """The page; `plan` is empty where a target makes none."""
    title = _text(f"{receipt['name']} for {receipt['target']}")
    parts = [HEAD.format(title=title), f"<h1>{title}</h1>\n"]
    for of_receipt in (_sizes, _narrowed, _outputs, _accuracy, _layers, _account):
        parts += of_receipt(receipt)
    if plan:
        parts += _waterline(receipt["cost"], plan["calls"])
        parts += _blocks(plan["calls"])
        parts += _memory(plan)
    return "".join([*parts, "</body>\n</html>\n"]).encode()


def _text(value: object) -> str:
    """As HTML; a whole number with its thousands apart."""
    return f"{value:,}" if isinstance(value, int) else escape(one_sentence(str(value)))


def _table(head: Sequence[str], rows: Iterable[Sequence[object]], bad: Sequence[bool] = ()) -> Iterator[str]:
    """`bad` marks rows."""
    yield "<table>\n<tr>" + "".join(f"<th>{_text(h)}</th>" for h in head) + "</tr>\n"
    for i, row in enumerate(rows):
        yield '<tr class="bad">' if i < len(bad) and bad[i] else "<tr>"
        for cell in row:
            number = ' class="n"' if isinstance(cell, (int, float)) else ""
            yield f"<td{number}>{cell.code if isinstance(cell, Html) else _text(cell)}</td>"
        yield "</tr>\n"
    yield "</table>\n"


def _note(text: str) -> str:
    return f'<p class="note">{_text(text)}</p>\n'


def _more(count: int, items: Sequence[object]) -> Html:
    """A count that opens to what was counted."""
    listed = "<br>".join(_text(item) for item in items)
    return Html(f"<details><summary>{count:,}</summary>{listed}</details>" if items else f"{count:,}")


def _sizes(receipt: Facts) -> Iterator[str]:
    yield _note(
        f"{receipt['model']['file']}, sha256 {receipt['model']['sha256']}; built for {receipt['cpu']}, "
        f"{receipt['os']}, by edgec {receipt['versions']['edgec']}; artifact sha256 {receipt['artifact']['sha256']}"
    )
    yield "<h2>Sizes</h2>\n"
    if "package" in receipt:
        package = receipt["package"]
        sizes: list[Sequence[object]] = [("package", package["bytes"]), ("weights", package["weights_bytes"])]
        yield from _table(["", "bytes"], sizes)
        return
    memory = receipt["memory"]
    names = ("code", "weights", "state", "scratch", "stack", "input", "output")
    known = [memory[f"{name}_bytes"] for name in names]
    yield from _table(
        ["", "bytes"], [(name, "unknown" if size is None else size) for name, size in zip(names, known, strict=True)]
    )


def _narrowed(receipt: Facts) -> Iterator[str]:
    lines = list(narrowed_lines(receipt))
    if lines:
        yield "<h2>Numbers of fewer bits</h2>\n"
        warned = [line.lstrip().startswith("WARNING") for line in lines]
        yield from _table([""], [[line.strip()] for line in lines], warned)


def _outputs(receipt: Facts) -> Iterator[str]:
    yield "<h2>Outputs</h2>\n"
    if "verification" not in receipt:
        yield _note("Not verified: built with --verify none.")
        return
    found = receipt["verification"]
    yield _note(
        f"Executed on {found['executed_on']}, compared with {found['reference']} on {compared(found)}; "
        f"tolerance {receipt['tolerance']}."
    )
    if "instructions" in found:
        yield _note(f"{found['instructions']:,} instructions an inference.")
    outputs = found["outputs"]
    rows = [[name, "ok" if result["pass"] else "beyond", figures(result)] for name, result in outputs.items()]
    head = ["output", "", "error"]
    of_model = found.get("against_model")
    if of_model:
        head.append(f"against {of_model['reference']}")
        levels = of_model["signal_to_noise_db"]  # of one function, where a package has several
        for row in rows:
            row.append(noise_level(levels[row[0]]) + noise_warning(levels[row[0]]) if row[0] in levels else "")
    yield from _table(head, rows, [not result["pass"] for result in outputs.values()])


def _accuracy(receipt: Facts) -> Iterator[str]:
    if "accuracy" not in receipt:
        return
    a = receipt["accuracy"]
    worst = a["worst_class"]
    low, high = a["confidence_95"]
    yield "<h2>Accuracy</h2>\n"
    rows: list[Sequence[object]] = [
        ("right", f"{a['right']} of {a['images']}"),
        ("accuracy, 95 % confidence", f"{a['accuracy']:.4f}, {low:.4f} to {high:.4f}"),
        ("reference", f"{a['reference_accuracy']:.4f}"),
        ("worst class", f"{_class(worst)}: {worst['accuracy']:.4f} of {worst['images']}"),
    ]
    low, high = a["drop_confidence_95"]
    rows.append(("drop, 95 % confidence", f"{a['drop']:.2%}, {low:.2%} to {high:.2%}"))
    rows += [("newly wrong", _more(a["newly_wrong"], a["newly_wrong_items"])),
             ("newly right", _more(a["newly_right"], a["newly_right_items"]))]  # fmt: skip
    most = a["class_that_loses_most"]
    if most is not None:
        change = f"{most['before']:.4f} to {most['after']:.4f} of {most['items']}"
        rows.append(("the class that loses most", f"{_class(most)}: {change}"))
    yield from _table(["", ""], rows)
    if a["flipped"]:
        head = ["answered differently", "truth", "answer", "reference"]
        yield from _table(
            head, [(f["item"], *(_class(f[key]) for key in ("truth", "answer", "reference"))) for f in a["flipped"]]
        )


def _class(named: Facts) -> str:
    return str(named.get("label", f"class {named['class']}"))


def _layers(receipt: Facts) -> Iterator[str]:
    if "layers" not in receipt:
        return
    layers = receipt["layers"]
    yield "<h2>Layers</h2>\n"
    yield _note("Error of each result up to there, on one sample. Marked: beyond the tolerance that outputs must keep.")
    rows = [(x["op"], x["type"], figures(x), x["against"], x.get("tensor", "")) for x in layers]
    yield from _table(["operator", "result", "error", "compared with", "tensor"], rows, [not x["pass"] for x in layers])


def _account(receipt: Facts) -> Iterator[str]:
    if "gains" in receipt:
        yield from _gains(receipt)
    yield "<h2>What passes did</h2>\n"
    passes = [(name, _kinds(effect["went"]), _kinds(effect["came"])) for name, effect in receipt["passes"].items()]
    yield from _table(["pass", "operators that went", "that came"], passes)


def _gains(receipt: Facts) -> Iterator[str]:
    yield "<h2>What was gained</h2>\n"
    gained = [(row["what"], row["count"], ", ".join(saved(row))) for row in receipt["gains"]]
    yield from _table(["", "count", ""], gained)
    yield "<h2>What was not, and why</h2>\n"
    refused = [(row["code"], _more(row["count"], row["operators"]), row["why"]) for row in receipt["not_applied"]]
    yield from _table(["code", "operators", "why"], refused)


def _kinds(counted: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {kind}" for kind, count in sorted(counted.items()))


def _waterline(cost: Facts, calls: Sequence[Facts]) -> Iterator[str]:
    """Steps by modelled cycles, the dearest first."""
    under = cost["under_waterline"]
    yield "<h2>Modelled cost</h2>\n"
    yield _note(
        f"Modelled, not measured: {cost['model']}. {cost['macs']:,} multiply-adds ({cost['executed_macs']:,} "
        f"executed), {cost['bytes']:,} bytes read and written, {cost['operations_per_byte']} operations a byte. "
        f"{under['steps']} of {cost['steps']} steps, with {under['macs']:,} multiply-adds, are under the waterline: "
        f"their bytes take longer than their arithmetic (orange)."
    )
    total = sum(call["modelled_cycles"] for call in calls) or 1
    most = max((call["modelled_cycles"] for call in calls), default=0) or 1
    rows = []
    for i, call in sorted(enumerate(calls), key=lambda item: (-item[1]["modelled_cycles"], item[0])):
        waits = " wait" if call["under_waterline"] else ""
        width = f"{BAR * call['modelled_cycles'] / most:.2f}em"
        rows.append(
            (i, Html(f'<span class="bar{waits}" style="width:{width}"></span>'),
             f"{call['modelled_cycles'] / total:.1%}", call["macs"], call["bytes"],
             f"{2 * call['macs'] / max(1, call['bytes']):.1f}",
             f"{call['attainable_efficiency']:.0%}" if call["macs"] else "", call["function"], call["source"])
        )  # fmt: skip
    head = ("step", "modelled cycles", "", "multiply-adds", "bytes", "operations a byte", "attainable efficiency",
            "kernels", "operators")  # fmt: skip
    yield from _table(head, rows)


def _blocks(calls: Sequence[Facts]) -> Iterator[str]:
    rows = []
    for i, call in enumerate(calls):
        block = call.get("block")
        if block is not None and len(block["stages"]) > 1:
            stages = [f"{s['function']}: {s['rows']} rows, ring {s['ring_bytes']:,} B" for s in block["stages"]]
            rows.append((i, _more(len(stages), stages), block["rows_at_a_time"], block["bands"], block["images"],
                         call["own_bytes"], call["source"]))  # fmt: skip
    if rows:
        yield "<h2>Blocks</h2>\n"
        yield from _table(["step", "stages", "rows at a time", "bands", "images", "bytes of rings", "operators"], rows)


def _memory(plan: Facts) -> Iterator[str]:
    """Scratch over the steps: a rectangle a buffer."""
    buffers, steps, total = plan["buffers"], max(1, len(plan["calls"])), max(1, plan["scratch_bytes"])
    if not buffers:
        return
    yield "<h2>Memory map</h2>\n"
    yield _note(
        f"{plan['scratch_bytes']:,} bytes of scratch upwards over {len(plan['calls'])} steps from left to right. "
        "Orange: rings and room to work in of one step. Point at a buffer for its name."
    )
    yield f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="memory map">\n'
    for b in buffers:
        x, width = WIDTH * b["first"] / steps, WIDTH * (b["last"] + 1 - b["first"]) / steps
        height = HEIGHT * b["bytes"] / total
        y = HEIGHT - HEIGHT * b["offset"] / total - height
        own = ' class="own"' if b["first"] == b["last"] else ""
        where = f"{b['holds']}: {b['bytes']:,} bytes at {b['offset']:,}, steps {b['first']} to {b['last']}"
        yield f'<rect{own} x="{x:.2f}" y="{y:.2f}" width="{width:.2f}" height="{height:.2f}">'
        yield f"<title>{_text(where)}</title></rect>\n"
    yield "</svg>\n"
