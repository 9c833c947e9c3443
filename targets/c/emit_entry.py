"""What callers of the library see: NAME_info, NAME_reset, NAME_init and NAME_run (runtime/edgec.h)."""

from __future__ import annotations

from edgec.ir.types import NARROW
from edgec.plan.plan import Plan, Port
from edgec.targets.c import weights
from edgec.targets.c.literals import c_string
from edgec.targets.c.weights import Storage

_CODES = {
    "f64": "EDGEC_F64",
    "f32": "EDGEC_F32",
    "f16": "EDGEC_F16",
    "bf16": "EDGEC_BF16",
    "i64": "EDGEC_I64",
    "i32": "EDGEC_I32",
    "i16": "EDGEC_I16",
    "i8": "EDGEC_I8",
    "u64": "EDGEC_U64",
    "u32": "EDGEC_U32",
    "u16": "EDGEC_U16",
    "u8": "EDGEC_U8",
    "bool": "EDGEC_BOOL",
    **{dtype: f"EDGEC_{dtype.upper()}" for dtype in NARROW},
}


def info_function(plan: Plan, version: str) -> str:
    def table(ports: list[Port], what: str) -> str:
        shapes = "".join(
            f"static const int64_t {what}_{i}[] = {{{', '.join(map(str, p.type.dims))}}};\n"
            for i, p in enumerate(ports)
            if p.type.rank
        )
        rows = "".join(
            f"    {{.name = {c_string(p.name)}, .shape = {f'{what}_{i}' if p.type.rank else 0}, "
            f".bytes = {p.type.nbytes}, .rank = {p.type.rank}, .dtype = {_CODES[p.type.dtype]}}},\n"
            for i, p in enumerate(ports)
        )
        return shapes + (f"static const edgec_tensor_info {what}s[] = {{\n{rows}}};\n" if ports else "")

    def name(ports: list[Port], what: str) -> str:
        return f"{what}s" if ports else "0"

    return f"""
{table(plan.inputs, "input")}{table(plan.outputs, "output")}
const edgec_info *{plan.name}_info(void) {{
  static const edgec_info info = {{.name = "{plan.name}",
                                  .version = "{version}",
                                  .inputs = {name(plan.inputs, "input")},
                                  .outputs = {name(plan.outputs, "output")},
                                  .scratch_bytes = {plan.scratch_bytes},
                                  .state_bytes = {plan.state_bytes},
                                  .weights_bytes = {len(plan.weights)},
                                  .n_inputs = {len(plan.inputs)},
                                  .n_outputs = {len(plan.outputs)},
                                  .alignment = 64,
                                  .abi = EDGEC_ABI}};
  return &info;
}}
"""


def entry_points(plan: Plan, state_at: int, storage: Storage) -> str:
    name = plan.name
    given = storage == "file"
    extra, handed = (", const void *weights", ", weights") if given else ("", "")
    tag = "  const int found = check_weights(weights);\n  if (found != EDGEC_OK) return found;\n" if given else ""
    checks = ["  if (!inputs || !outputs) return EDGEC_NULL_ARGUMENT;\n"]
    if plan.state_bytes:
        checks.append("  if (!state) return EDGEC_NULL_ARGUMENT;\n")
    if plan.scratch_bytes:
        checks.append("  if (!scratch) return EDGEC_NULL_ARGUMENT;\n")
    if any(call.header == "qamx.h" for call in plan.calls):
        checks.append("  if (!edgec_tiles_allowed()) return EDGEC_NO_TILES;\n")
    aligned = ["(uintptr_t)state" if plan.state_bytes else "", "(uintptr_t)scratch" if plan.scratch_bytes else ""]
    loops = ""
    for what, ports in (("inputs", plan.inputs), ("outputs", plan.outputs)):
        if ports:
            loops += (
                f"  for (int i = 0; i < {len(ports)}; i++) {{\n"
                f"    if (!{what}[i]) return EDGEC_NULL_ARGUMENT;\n"
                f"    at |= (uintptr_t){what}[i];\n  }}\n"
            )
    loop = """  for (size_t i = 0; i < sizeof calls / sizeof calls[0]; i++) {
    EDGEC_TRACE(i);
    if (parallel && calls[i].tasks > 1)
      parallel->parallel_for(parallel->pool, calls[i].call, &m, calls[i].tasks);
    else
      calls[i].call(&m, 0, calls[i].tasks);
  }
  EDGEC_TRACE(sizeof calls / sizeof calls[0]);
"""
    first = "(const unsigned char *)weights" if given else f"{name}_weights"
    reset = (
        "  if (!state) return EDGEC_NULL_ARGUMENT;\n"
        f"  edgec_copy(state, {first} + {state_at}, {plan.state_bytes});\n"
    )
    unused = [n for n, used in (("state", plan.state_bytes), ("scratch", plan.scratch_bytes)) if not used]
    if not plan.steps:
        loop = ""
        unused += ["m", "parallel"]
    ignored = "".join(f"  (void){n};\n" for n in unused)
    passed = f"(const unsigned char *)weights + {weights.TAG_BYTES}" if given else "0"
    return f"""
int {name}_reset(void *state{extra}) {{
{tag}{reset if plan.state_bytes else "  (void)state;" + chr(10)}  return EDGEC_OK;
}}

int {name}_init(void *state{extra}) {{ return {name}_reset(state{handed}); }}

int {name}_run(const void *const inputs[], void *const outputs[], void *state, void *scratch,
    const edgec_parallel *parallel{extra}) {{
{"".join(checks)}{tag}  uintptr_t at = {" | ".join(a for a in aligned if a) or "0"};
{loops}  if (at % 64) return EDGEC_MISALIGNED;
  memory m = {{(const unsigned char *const *)inputs, (unsigned char *const *)outputs, state, scratch, {passed}}};
{loop}{ignored}  return EDGEC_OK;
}}
"""
