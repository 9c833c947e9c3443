"""A worker process behind a function call: `Limited().ask(...)` gives a verdict, whatever happens to the worker."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Any

WORKER = Path(__file__).with_name("worker.py")
REQUESTS = 200  # to one worker, so that what it leaks is bounded


class Limited:
    """Use as a context manager. Workers are started when needed and ended by the limits that they set themselves."""

    def __init__(self) -> None:
        self._worker: subprocess.Popen[str] | None = None
        self._asked = 0

    def ask(self, what: str, path: Path, shapes: dict[str, tuple[int, ...]], **more: Any) -> dict[str, Any]:
        """`what` is import or build."""
        return self.request({"do": what, "path": str(path), "shapes": shapes, **more})

    def command(self, words: list[str], folder: Path, temporary: Path, cpu: int) -> dict[str, Any]:
        """`edgec words...` in a folder, with temporary files in another."""
        return self.request(
            {"do": "command", "words": words, "folder": str(folder), "temporary": str(temporary), "cpu": cpu}
        )

    def request(self, request: dict[str, Any]) -> dict[str, Any]:
        """The verdict of a worker that died is a crash that names the signal."""
        worker = self._running()
        assert worker.stdin is not None
        assert worker.stdout is not None
        worker.stdin.write(json.dumps(request) + "\n")
        worker.stdin.flush()
        answer = worker.stdout.readline()
        if answer:
            verdict: dict[str, Any] = json.loads(answer)
            return verdict
        code = worker.wait()
        self._worker = None
        how = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
        hang = code == -signal.SIGXCPU
        return {"kind": "crash", "text": f"{'hang, ' if hang else ''}{how}", "cpu": float("nan"), "rss": 0}

    def _running(self) -> subprocess.Popen[str]:
        if self._worker is not None and self._asked >= REQUESTS:
            self.close()
        if self._worker is None:
            self._worker = subprocess.Popen(
                [sys.executable, str(WORKER)],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
            )  # fmt: skip
            self._asked = 0
        self._asked += 1
        return self._worker

    def close(self) -> None:
        if self._worker is not None:
            assert self._worker.stdin is not None
            self._worker.stdin.close()
            self._worker.wait()
            self._worker = None

    def __enter__(self) -> Limited:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
