"""The files round the source: the model's header, a CMake file, and a 30-line program that uses it."""

from __future__ import annotations

import re

from edgec.ir.types import NARROW
from edgec.plan.plan import Plan, Port
from edgec.targets.c.emit import Identity
from edgec.targets.c.lower.context import CTYPES
from edgec.targets.c.weights import Storage

OURS = ("edgec", "example_main")  # edgec.h and all that begins with edgec_, example_main.c
# NAME.h would hide a header of the C library or of the compiler, whose folder comes later
HEADERS = (
    "arm_bf16", "arm_fp16", "arm_neon", "arm_sve", "assert", "complex", "cpuid", "ctype", "errno", "fenv", "float",
    "immintrin", "inttypes", "iso646", "limits", "locale", "math", "memory", "pthread", "setjmp", "signal",
    "stdalign", "stdarg", "stdatomic", "stdbool", "stddef", "stdint", "stdio", "stdlib", "stdnoreturn", "string",
    "strings", "tgmath", "threads", "time", "uchar", "unistd", "wchar", "wctype",
)  # fmt: skip
# CMake's own targets
TARGETS = ("all", "clean", "edit_cache", "help", "install", "package", "rebuild_cache", "test")


def c_name(text: str) -> str:
    """A C identifier made from any text, which is no name of something else in the folder or in front of it; file
    systems may know no difference of case."""
    name = re.sub(r"[^A-Za-z0-9]+", "_", text).strip("_") or "model"
    folded = name.lower()
    taken = folded in (*OURS, *HEADERS, *TARGETS) or folded.startswith("edgec_")
    return f"m_{name}" if taken or name[0].isdigit() else name


def _comment(text: str) -> str:
    """Text that neither ends a comment nor begins one, and holds no trigraph."""
    return text.replace("*/", "* /").replace("/*", "/ *").replace("??", "? ?")


def _ports(name: str, ports: list[Port], what: str) -> str:
    lines = []
    for i, port in enumerate(ports):
        shape = "x".join(map(str, port.type.dims)) or "scalar"
        stored = ", a uint8_t each, as edgec.h says" if port.type.dtype in NARROW else ""
        lines.append(f"/* {what} {i}: {_comment(port.name)} {port.type.dtype} {shape}{stored} */\n")
        lines.append(f"#define {name.upper()}_{what.upper()}_{i}_SIZE {port.type.size}\n")
    return "".join(lines)


def _weights_contract(name: str) -> str:
    return f"""
/* The weights are not linked in: every function takes the bytes of {name}_weights.bin, {name.upper()}_WEIGHTS_BYTES of
   them at a multiple of 64 bytes, such as a read-only mapping of the file. They are only read, may be shared by threads
   and processes, and must stay for the call. EDGEC_BAD_WEIGHTS says that they belong to another build. */"""


def emit_header(plan: Plan, identity: Identity, storage: Storage, stack: int | None = None) -> str:
    """`stack` is a bound of the bytes that a call uses of its thread's stack, where it is known."""
    name, upper = plan.name, plan.name.upper()
    extra = ", const void *weights" if storage == "file" else ""
    contract = _weights_contract(name) if storage == "file" else ""
    bound = "" if stack is None else f"""/* No call uses more of its thread's stack, the caller's parallel_for apart. */
#define {upper}_STACK_BYTES {stack}
"""
    return f"""{identity.line(f"Interface of the model {name}")}#ifndef EDGEC_MODEL_{upper}_H
#define EDGEC_MODEL_{upper}_H

#include "edgec.h"

#define {upper}_INPUTS {len(plan.inputs)}
#define {upper}_OUTPUTS {len(plan.outputs)}
#define {upper}_SCRATCH_BYTES {plan.scratch_bytes}
#define {upper}_STATE_BYTES {plan.state_bytes}
#define {upper}_WEIGHTS_BYTES {len(plan.weights)}
{bound}
{_ports(name, plan.inputs, "input")}{_ports(name, plan.outputs, "output")}
#ifdef __cplusplus
extern "C" {{
#endif

/* Names, types, sizes; the contract is in edgec.h. */{contract}
const edgec_info *{name}_info(void);
int {name}_init(void *state{extra});
int {name}_reset(void *state{extra});
int {name}_run(const void *const inputs[], void *const outputs[], void *state, void *scratch,
    const edgec_parallel *parallel{extra});

#ifdef __cplusplus
}}
#endif
#endif
"""


def gnu_spelling(flag: str) -> str:
    """A device's flag as gcc and clang spell it: zig's -mcpu names features that are there, or not."""
    option, equals, value = flag.partition("=")
    if option != "-mcpu" or not equals:
        return flag
    name, *features = re.split(r"(?=[+-])", value)
    more = [f.removeprefix("+") for f in features if f.startswith("+")]
    if name.startswith("x86_64"):
        return " ".join([f"-march={name.replace('_64_', '-64-')}", *(f"-m{f.replace('_', '-')}" for f in more)])
    more += ["nosve"] * ("-sve" in features)
    return f"-mcpu={'+'.join([name.replace('_', '-'), *more])}"


def emit_cmake(name: str, shared_flags: str, storage: Storage) -> str:
    flags = " ".join(map(gnu_spelling, shared_flags.split()))
    linked = storage == "linked"
    weights = f"""set_source_files_properties({name}_weights.S PROPERTIES
  COMPILE_FLAGS "-I${{CMAKE_CURRENT_SOURCE_DIR}}"
  OBJECT_DEPENDS ${{CMAKE_CURRENT_SOURCE_DIR}}/{name}_weights.bin)
"""
    return f"""# Use: add_subdirectory(<this folder>) and target_link_libraries(app {name})
cmake_minimum_required(VERSION 3.13)
project({name} C{" ASM" if linked else ""})
add_library({name} STATIC {name}.c{f" {name}_weights.S" if linked else ""})
target_include_directories({name} PUBLIC ${{CMAKE_CURRENT_SOURCE_DIR}})
target_compile_options({name} PRIVATE
  $<$<COMPILE_LANGUAGE:C>:-std=gnu11 -O2 -ffp-contract=fast -fno-math-errno {flags}>)
{weights if linked else ""}set_target_properties({name} PROPERTIES POSITION_INDEPENDENT_CODE ON)
find_package(Threads)
if(Threads_FOUND)
  add_library({name}_pthread STATIC edgec_pthread.c)
  target_link_libraries({name}_pthread PUBLIC {name} Threads::Threads)
endif()
"""


def emit_example(plan: Plan, storage: Storage) -> str:
    """A program that fills the inputs from files given on the command line (or zeros) and prints the outputs."""
    name, upper = plan.name, plan.name.upper()
    inputs = ", ".join(f"x{i}" for i in range(len(plan.inputs))) or "0"
    outputs = ", ".join(f"y{i}" for i in range(len(plan.outputs))) or "0"

    def arrays(ports: list[Port], letter: str) -> str:
        return "".join(
            f"static ALIGNED {CTYPES[p.type.dtype]} {letter}{i}[{max(1, p.type.size)}];\n" for i, p in enumerate(ports)
        )

    # clang 14 has no _Float16 on x86-64, but a type that is stored alike
    halves = """#if defined(__clang__) && __clang_major__ < 15 && defined(__x86_64__) && !defined(__AVX512FP16__)
#define _Float16 __fp16
#endif
""" * any(p.type.dtype == "f16" for p in (*plan.inputs, *plan.outputs))
    reads = "".join(
        f"  if (argc > {i + 1} && !read_file(argv[{i + 1}], x{i}, sizeof x{i})) return 2;\n"
        for i in range(len(plan.inputs))
    )
    given = storage == "file"
    extra = ", weights" if given else ""
    space = f"static ALIGNED unsigned char weights[{upper}_WEIGHTS_BYTES];\n" if given else ""
    if given:
        reads = f'  if (!read_file("{name}_weights.bin", weights, sizeof weights)) return 2;\n{reads}'
    prints = "".join(
        f'  for (size_t i = 0; i < sizeof y{i} / sizeof y{i}[0]; i++) printf("%.6g\\n", (double)y{i}[i]);\n'
        for i, p in enumerate(plan.outputs)
    )
    return f"""/* cc -O2 example_main.c lib{name}.a -o example && ./example [input.raw ...] > outputs.txt */
#include <stdio.h>
#include "{name}.h"

{halves}#define ALIGNED __attribute__((aligned(64)))
{arrays(plan.inputs, "x")}{arrays(plan.outputs, "y")}static ALIGNED unsigned char scratch[{upper}_SCRATCH_BYTES + 1];
static ALIGNED unsigned char state[{upper}_STATE_BYTES + 1];
{space}
static __attribute__((unused)) int read_file(const char *path, void *to, size_t bytes) {{
  FILE *file = fopen(path, "rb");
  const int ok = file && fread(to, 1, bytes, file) == bytes;
  if (file) fclose(file);
  if (!ok) fprintf(stderr, "%s must hold %zu bytes\\n", path, bytes);
  return ok;
}}

int main(int argc, char **argv) {{
  (void)argc, (void)argv;
{reads}  const void *const inputs[] = {{{inputs}}};
  void *const outputs[] = {{{outputs}}};
  {name}_init(state{extra});
  const int code = {name}_run(inputs, outputs, state, scratch, NULL{extra});
  if (code != EDGEC_OK) return fprintf(stderr, "{name}_run returned %d\\n", code), 1;
{prints}  return 0;
}}
"""
