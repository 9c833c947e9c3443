"""A graph under construction with the arrays that it is fed: many single ops in one compiled unit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from compiled import assert_close, compiled

from edgec.ir import interp
from edgec.ir.build import Builder
from edgec.ir.graph import Graph, Module, Value
from edgec.ir.types import DTYPES, Type

Array = np.ndarray[Any, Any]


class Network:
    """Inputs are x0, x1 …, outputs y0, y1 … unless named."""

    def __init__(self, seed: int) -> None:
        self.graph = Graph(Module())
        self.build = Builder(self.graph)
        self.feeds: dict[str, Array] = {}
        self.rng = np.random.default_rng(seed)

    def source(self, array: Any, dtype: str = "f32") -> Value:
        """An input and what it is fed."""
        name = f"x{len(self.feeds)}"
        self.feeds[name] = np.asarray(array).astype(DTYPES[dtype])
        return self.graph.add_input(name, Type(dtype, self.feeds[name].shape))

    def floats(self, *shape: int, dtype: str = "f32") -> Value:
        return self.source(self.rng.standard_normal(shape), dtype)

    def const(self, *shape: int) -> Value:
        return self.build.const(self.rng.standard_normal(shape), "f32")

    def named(self, name: str, value: Value) -> None:
        """The value is the output of that name."""
        self.graph.outputs.append((name, value))

    def done(self, *values: Value) -> None:
        for value in values:
            self.named(f"y{len(self.graph.outputs)}", value)

    def op(self, kind: str, *operands: Value | None, **attrs: Any) -> Value:
        """The result of an op, which is an output too."""
        result = self.build.op(kind, *operands, **attrs)
        self.done(result)
        return result

    def run(self, target: str, folder: Path) -> dict[str, Array]:
        """What the kernels give for each output."""
        with compiled(self.graph, target, folder) as session:
            found = session.run(None, self.feeds)
        return dict(zip([name for name, _ in self.graph.outputs], found, strict=True))

    def expected(self) -> dict[str, Array]:
        """What the interpreter gives."""
        return interp.run(self.graph, self.feeds)

    def check(self, target: str, folder: Path, expected: dict[str, Array] | None = None) -> None:
        """AssertionError with every output beyond the project's tolerance."""
        found, expected = self.run(target, folder), self.expected() if expected is None else expected
        failures = []
        for name, value in self.graph.outputs:
            try:
                assert_close(found[name], expected[name], f"{target} {name} {value.op} {value.type}")
            except AssertionError as error:
                failures.append(str(error))
        assert not failures, "\n\n".join(failures)
