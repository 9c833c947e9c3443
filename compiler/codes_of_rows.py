"""Codes of a model's own format that rows of floats are, exactly: integers or small floats, times a scale a row."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from edgec.ir.encodings import SMALL, nearest_float8
from edgec.passes.exact_codes import KINDS, codes_of
from edgec.passes.float8_scales import exact_scales

Array = np.ndarray[Any, Any]
# ONNX's element types -> the format whose codes hold their numbers
FORMATS = {
    "int2": "i4", "uint2": "i4", "int4": "i4", "uint4": "i4", "int8": "i8", "uint8": "i8", "float4e2m1": "e2m1",
    "float8e4m3fn": "e4m3", "float8e4m3fnuz": "e4m3", "float8e5m2": "e5m2", "float8e5m2fnuz": "e5m2",
}  # fmt: skip


def formats_of(narrow: Mapping[str, int]) -> list[str]:
    """The formats of what the model has in few bits, in one order."""
    return sorted({FORMATS[element] for element in narrow}, key=list(FORMATS.values()).index)


def codes_of_rows(rows: Array, format: str, positive: bool) -> Iterator[tuple[Array, Array, Array]]:
    """Codes, scales and zero points of rows [n, products], without zero points first; nothing where rows have none.
    Scales of integers are of either sign, or `positive`."""
    if format in SMALL:
        scales = exact_scales(rows, format)
        if scales is not None:
            yield nearest_float8(rows, scales[:, None], format), scales, np.zeros(len(rows), np.int8)
        return
    for kind in KINDS:
        if kind.format == format:
            found = codes_of(rows, kind, positive)
            if found is not None:
                yield found
