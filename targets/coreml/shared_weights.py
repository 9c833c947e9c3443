"""Constants of equal contents are written once, whichever functions read them.

coremltools writes constants of one `weight_id` once; here that is what they hold.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

import numpy as np

from edgec.targets.coreml.mil import types

SMALLEST = 10  # elements: smaller ones stand in the program itself


def share_weights(program: Any) -> None:
    """Gives every constant that goes into weight.bin the name of its contents."""
    for function in program.functions.values():
        for op in _constants(function):
            array = op.outputs[0].val
            if isinstance(array, np.ndarray) and array.size >= SMALLEST and array.dtype.kind in "fiu":
                kind = types.builtin_to_string(op.outputs[0].dtype)  # four bits lie in bytes
                digest = hashlib.sha256(f"{kind}{array.shape}".encode())
                digest.update(np.ascontiguousarray(array).data)
                op.weight_id = digest.hexdigest()


def _constants(block: Any) -> Iterator[Any]:
    for op in block.operations:
        if op.op_type == "const":
            yield op
        for inner in op.blocks:
            yield from _constants(inner)
