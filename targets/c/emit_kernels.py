"""The text of the kernels that a plan uses: headers with what they include in its place, and uses of their macros."""

from __future__ import annotations

import re
from importlib.resources import files

from edgec.plan.plan import Block, Call, Plan, Symbol
from edgec.targets.c.element import section_of

_LINES = re.compile(r'^#include "([a-z0-9_]+\.(?:h|inc))"\n|^#undef EDGEC_([A-Z0-9_]+)_H\n', re.MULTILINE)


def kernel_text(name: str, seen: set[str]) -> str:
    """A kernel header with what it includes in its place: headers once, or again where their guard is taken back;
    `seen` grows."""
    if name in seen:
        return ""
    if name.endswith(".h"):
        seen.add(name)

    def line(match: re.Match[str]) -> str:
        if match[1]:
            return kernel_text(match[1], seen)
        seen.discard(f"{match[2].lower()}.h")
        return match[0]

    return _LINES.sub(line, files("edgec.targets.c").joinpath("kernels", name).read_text()) + "\n"


def headers(plan: Plan) -> list[str]:
    """Kernel headers in order of first use; activation symbols bring their own."""
    names = dict.fromkeys(["edgec_base.h"])
    if any(isinstance(step, Block) for step in plan.steps):
        names["block.h"] = None
    for call in plan.calls:
        names[call.header] = None
        names |= dict.fromkeys(header for header, _ in _activations(call))
    return list(names)


_ACT = re.compile(r"edgec_([hs]?)act_(\w+)")


def _activations(call: Call) -> list[tuple[str, str]]:
    """Header and macro use behind each activation symbol among the arguments."""
    found = [_ACT.fullmatch(a.name) for a in call.args if isinstance(a, Symbol)]
    return [(f"{m[1]}act.h", f"EDGEC_ACT({m[2]})") for m in found if m]


def instances(plan: Plan) -> str:
    """The macro uses of all calls, each once; those of kernels of halves in their sections."""
    sections: dict[str, dict[str, None]] = {"": {}}
    for call in plan.calls:
        for header, instance in (*((call.header, i) for i in call.instances), *_activations(call)):
            sections.setdefault(section_of(header), {})[instance] = None
    parts = []
    for section, instances in sections.items():
        text = "".join(f"{i}\n" for i in instances)
        parts.append(kernel_text(section, set()) + text + kernel_text("floats_on.inc", set()) if section else text)
    return "".join(parts)
