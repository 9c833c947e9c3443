"""A network's Core ML package against the interpreter, in float32 and in halves."""

from __future__ import annotations

from typing import Any

import numpy as np
from coreml_run import run_package
from network import Network

from edgec.targets.coreml.deployment import choose
from edgec.targets.coreml.program import Emitted, emit

UNIT = 2.0**-11  # half a place of a half, relative
FLOAT16 = 10  # DataType of MIL.proto


def operators(emitted: Emitted) -> list[str]:
    """Kinds of the program's operators, constants apart."""
    return [op.type for op in _operations(emitted) if op.type != "const"]


def _operations(emitted: Emitted) -> list[Any]:
    (block,) = emitted.model.mlProgram.functions["main"].block_specializations.values()
    return list(block.operations)


def roundings(emitted: Emitted) -> int:
    """How many values of the program are halves, constants and interface included."""
    return sum(o.type.tensorType.dataType == FLOAT16 for op in _operations(emitted) for o in op.outputs)


def check(net: Network, name: str = "", condition: float = 1.0, rtol: float = 1e-5) -> list[str]:
    """Float32 as the interpreter has it. In halves each value of the program is rounded once, which moves a result by
    at most 2^-11 of the largest number, times what the operator makes of a relative change of its operand
    (`condition`); inputs are halves, so that they move nothing. Returns the operators of the program in float32."""
    feeds = {k: v.astype(np.float16).astype(v.dtype) if v.dtype.kind == "f" else v for k, v in net.feeds.items()}
    net.feeds.update(feeds)
    expected = net.expected()
    wide = emit(net.graph.module, choose(name), halves=False)
    for key, y in run_package(wide, net.graph, feeds).items():
        compare(y, expected[key], rtol, f"{key} in float32")
    narrow = emit(net.graph.module, choose(name), halves=True)
    bound = (roundings(narrow) + 1) * UNIT * condition
    for key, y in run_package(narrow, net.graph, feeds).items():
        compare(y, expected[key], bound, f"{key} in halves")
    return operators(wide)


def compare(y: Any, expected: Any, rtol: float, what: str) -> None:
    """Integers and bools exactly, infinities and NaN where they are, numbers within rtol of the largest."""
    assert y.dtype == expected.dtype, what
    if y.dtype.kind != "f":
        np.testing.assert_array_equal(y, expected, what)
        return
    finite = np.isfinite(expected)
    np.testing.assert_array_equal(y[~finite], expected[~finite], what)
    largest = float(np.abs(expected[finite]).max(initial=0.0))
    np.testing.assert_allclose(y[finite], expected[finite], rtol=0, atol=rtol * largest, err_msg=what)
