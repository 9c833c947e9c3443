"""One hostile file: how it is made, and what `edgec build` must say about it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from onnx import ModelProto


@dataclass(frozen=True)
class Hostile:
    """`code` is the exit code, `words` a part of the sentence (nothing where the file is legal and only looks odd);
    `beside` puts files next to the model, `file` is the model's name, `options` are more words of the command; a
    `heavy` one is legal and takes long to build, so that the ordinary suite only imports it."""

    make: Callable[[], ModelProto | bytes]
    code: int
    words: str = ""
    beside: Callable[[Path], None] | None = None
    file: str = "m.onnx"
    options: tuple[str, ...] = ()
    heavy: bool = False

    @property
    def name(self) -> str:
        return self.make.__name__

    def write(self, folder: Path) -> Path:
        """The file in a folder of its own."""
        made = self.make()
        path = folder / self.file
        path.write_bytes(made if isinstance(made, bytes) else made.SerializeToString())
        if self.beside is not None:
            self.beside(folder)
        return path
