"""The process that hostile models are given to: one request a line on stdin, one JSON verdict a line on stdout.

    {"do": "import" | "build", "path": ..., "shapes": {...}, "output": ...}
    -> {"kind": "ok" | "refused" | "crash", "text": ..., "exit": ..., "cpu": ..., "rss": ...}
    {"do": "command", "words": [...], "folder": ..., "temporary": ...}
    -> {"kind": "done" | "crash", "text": what went to stderr, "exit": ..., "cpu": ..., "rss": ...}

It may grow to 2 GB and spend 10 s of CPU on a request before C is compiled; the kernel ends it when it spends more, and
`limited.py` on the other side of the pipe tells which limit that was.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import resource
import sys
import tempfile
import time
import traceback
from pathlib import Path
from typing import Any

from edgec.cli import main as main_of_edgec
from edgec.driver import build
from edgec.ir.errors import EdgecError
from edgec.ir.verify import verify_module
from edgec.onnx_import.importer import import_model
from edgec.onnx_import.options import ImportOptions
from edgec.options import BuildOptions

MEMORY = 2 << 30  # of resident memory at most
CPU_SECONDS = 10


def resident() -> int:
    """Bytes in memory now, and address space."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def address_space() -> int:
    return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()


def limit_memory() -> None:
    """Only so much more address space that what is resident cannot pass MEMORY."""
    most = address_space() + MEMORY - resident()
    resource.setrlimit(resource.RLIMIT_AS, (most, most))


def limit_cpu(seconds: int) -> None:
    used = sum(resource.getrusage(resource.RUSAGE_SELF)[:2])
    resource.setrlimit(resource.RLIMIT_CPU, (int(used) + seconds + 1, resource.RLIM_INFINITY))


def command(request: dict[str, Any]) -> dict[str, Any]:
    """`edgec words...` as a process of its own would run it."""
    os.chdir(request["folder"])
    tempfile.tempdir = request["temporary"]
    sys.argv = ["edgec", *request["words"]]
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said), contextlib.redirect_stdout(io.StringIO()):
            main_of_edgec()
    except SystemExit as done:
        return {"kind": "done", "text": said.getvalue(), "exit": done.code}
    except BaseException:
        return {"kind": "crash", "text": traceback.format_exc()}
    return {"kind": "crash", "text": "the command ended without an exit code"}


def handle(request: dict[str, Any]) -> dict[str, Any]:
    if request["do"] == "command":
        return command(request)
    shapes = {name: tuple(dims) for name, dims in request["shapes"].items()}
    path = Path(request["path"])
    try:
        if request["do"] == "import":
            verify_module(import_model(path, ImportOptions(shapes)))
        else:
            build(path, "host", Path(request["output"]), BuildOptions(shapes, verify_inputs=1))
    except EdgecError as error:
        return {**sentence(error), "exit": error.exit_code}
    except BaseException as error:
        where = traceback.extract_tb(error.__traceback__)[-1]
        text = f"{type(error).__name__}: {error} ({Path(where.filename).name}:{where.lineno} {where.name})"
        return {"kind": "crash", "text": text, "trace": traceback.format_exc()}
    return {"kind": "ok", "text": ""}


def sentence(error: EdgecError) -> dict[str, Any]:
    """A refusal counts when it is a leaf with one readable sentence, and memory did not run out on the way to it."""
    text = str(error)
    at: BaseException | None = error
    while at is not None:
        if isinstance(at, MemoryError):
            return {"kind": "crash", "text": f"memory ran out: {text}", "trace": traceback.format_exc()}
        at = at.__cause__ or at.__context__
    wrong = [
        reason
        for reason, holds in (
            ("no leaf of EdgecError", type(error) is EdgecError),
            ("empty", not text.strip()),
            ("several lines", "\n" in text or "\r" in text),
            ("longer than 20,000 characters", len(text) > 20_001),
            ("shows an object's address", " object at 0x" in text),
            ("not printable", not text.isprintable()),
        )
        if holds
    ]
    if wrong:
        return {"kind": "crash", "text": f"the sentence is {', '.join(wrong)}: {text[:300]!r}"}
    return {"kind": "refused", "text": text}


def main() -> None:
    limit_memory()
    for line in sys.stdin:
        request = json.loads(line)
        limit_cpu(request.get("cpu", CPU_SECONDS))
        began = time.process_time()
        verdict = handle(request)
        verdict |= {"cpu": time.process_time() - began, "rss": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10}
        print(json.dumps(verdict), flush=True)


if __name__ == "__main__":
    main()
