"""Each step of a plan as a C function of (context, begin, end): a call of a kernel, or a block of stages."""

from __future__ import annotations

import re

from edgec.plan.plan import Arg, Block, Call, Plan, Pointer, Struct, Symbol
from edgec.targets.c import weights
from edgec.targets.c.literals import number
from edgec.targets.c.weights import Storage


class Printer:
    """Arguments as C expressions; constant structs collected, each content once."""

    def __init__(self, plan: Plan, storage: Storage) -> None:
        self.plan = plan
        self.weights = weights.base(plan.name, storage)
        self.structs: dict[Struct, str] = {}

    def argument(self, arg: Arg) -> str:
        if arg is None:
            return "0"
        if isinstance(arg, Pointer):
            return self._pointer(arg)
        if isinstance(arg, Symbol):
            return arg.name
        if isinstance(arg, Struct):
            return "&" + self.structs.setdefault(arg, f"size_{len(self.structs)}")
        return number(arg)

    def _pointer(self, p: Pointer) -> str:
        const = "" if p.write else "const "
        offset = p.buffer.offset + p.offset
        if p.buffer.space in ("input", "output"):
            base = f"m->{'in' if p.buffer.space == 'input' else 'out'}[{p.buffer.index}]"
            at = f"{base} + {p.offset}" if p.offset else base
        elif p.buffer.space == "weights":
            at = f"{self.weights} + {offset}"
        else:
            at = f"m->{p.buffer.space} + {offset}" + (f" + slot * {p.slot}" if p.slot else "")
        at += f" + image * {p.image}" if p.image else ""
        if p.row:
            at += f" + y % {p.depth} * {p.row}" if p.depth else f" + y * {p.row}"
        return f"({const}{p.ctype} *)({at})"

    def struct(self, struct: Struct, name: str) -> str:
        fields = ", ".join(f".{f} = {v.name if isinstance(v, Symbol) else number(v)}" for f, v in struct.fields)
        return f"static const {struct.ctype} {name} = {{{fields}}};\n"


def step_functions(step: Call | Block, i: int, printer: Printer) -> str:
    """The function `call_i` of step i, and those that it calls."""
    return _block(step, i, printer) if isinstance(step, Block) else _call(step, i, printer)


def _comment(source: str) -> str:
    return "/* " + source.replace("*/", "* /").replace("/*", "/ *").replace("??", "? ?") + " */\n"


def _call(call: Call, i: int, printer: Printer) -> str:
    args = [printer.argument(a) for a in call.args]
    if call.tasks:
        args += ["begin", "end"]
    unused = "" if call.tasks else "  (void)begin;\n  (void)end;\n"
    memory = "  const memory *m = p;\n" if any("m->" in a for a in args) else "  (void)p;\n"
    return (
        f"{_comment(call.source)}static void call_{i}(void *p, ptrdiff_t begin, ptrdiff_t end) {{\n{memory}{unused}"
        f"  {call.function}({', '.join(args)});\n}}\n"
    )


# Kernels that are functions of their own, so that a stage which only calls them may be as small as can be.
_NOT_INLINED = (
    "edgec_conv", "edgec_hconv", "edgec_sconv", "edgec_bconv", "edgec_tconv", "edgec_fconv",
    "edgec_depthwise", "edgec_hdepthwise", "edgec_sdepthwise",
    "edgec_fill_columns", "edgec_copy_rows", "edgec_qconv", "edgec_qdepthwise",
)  # fmt: skip


def _block(block: Block, i: int, printer: Printer) -> str:
    """A function a stage, the tables that edgec_run_block reads, and the call."""
    functions: list[str] = []
    stages: list[str] = []
    reads: list[str] = []
    for j, stage in enumerate(block.stages):
        lines = []
        for call in stage.calls:
            args = [printer.argument(a) for a in call.args]
            if call.each_row:
                args += ["0", f"{call.tasks}"] if call.tasks else []
                lines.append(f"  for (ptrdiff_t y = y0; y < y1; y++) {call.function}({', '.join(args)});\n")
            else:
                lines.append(f"  {call.function}({', '.join([*args, 'image', *_rows(call)])});\n")
        body = "".join(lines)
        uses = "  const memory *m = p;\n" if "m->" in body else "  (void)p;\n"
        small = "EDGEC_SMALL " if all(call.function in _NOT_INLINED for call in stage.calls) else ""
        own = any(p.slot for call in stage.calls for p in call.pointers())
        unused = "" if own else "  (void)slot;\n"
        unused += "" if re.search(r"\bimage\b", body) else "  (void)image;\n"
        functions.append(
            f"{_comment(stage.calls[0].source)}static {small}void stage_{i}_{j}(const void *p, ptrdiff_t slot, "
            f"ptrdiff_t image, ptrdiff_t y0, ptrdiff_t y1) {{\n{uses}{unused}{body}}}\n"
        )
        stages.append(f"{{stage_{i}_{j}, {stage.rows.rows}, {len(reads)}, {len(stage.rows.reads)}}}")
        reads += [f"{{{s}, {w.stride}, {w.before}, {w.extent}, {w.up}}}" for s, w in stage.rows.reads]
    tables = f"static const edgec_stage stages_{i}[] = {{{', '.join(stages)}}};\n"
    if reads:
        tables += f"static const edgec_read reads_{i}[] = {{{', '.join(reads)}}};\n"
    sizes = f"{len(stages)}, {block.bands}, {block.step}, {block.align}"
    fields = f"{{stages_{i}, {f'reads_{i}' if reads else 0}, {sizes}}}"
    return (
        f"{''.join(functions)}{tables}static const edgec_block block_{i} = {fields};\n"
        f"static void call_{i}(void *p, ptrdiff_t begin, ptrdiff_t end) {{\n"
        f"  edgec_run_block(&block_{i}, p, begin, end);\n}}\n"
    )


def _rows(call: Call) -> tuple[str, str]:
    """The rows [y0, y1) of a stage, as the call counts them."""
    if call.phase is None:
        return "y0", "y1"
    first, step = call.phase
    return f"edgec_phase_row(y0, {first}, {step})", f"edgec_phase_row(y1, {first}, {step})"
