"""Every limit of the importer in one place, checked before memory or time is spent."""

from __future__ import annotations

import math
from collections.abc import Iterable

from edgec.ir.errors import ModelError

FILE_BYTES = (1 << 31) - 1  # protobuf parses no more than 2 GiB
EXTERNAL_BYTES = 1 << 35  # of all external data files together; they are mapped, not read
NODES = 200_000  # in the file, subgraphs included, and imported, unrolled loops included
NESTING = 16  # graphs inside nodes inside graphs
RANK = 64  # numpy allows no more
TENSOR_ELEMENTS = 1 << 31  # of any one tensor
FOLDED_BYTES = 1 << 33  # of all arrays made during an import: weights and folded constants
TRIPS = 10_000  # iterations of one unrolled Loop or Scan
SEQUENCE_ITEMS = 10_000  # tensors in one sequence
NAME_LENGTH = 4096  # characters of a tensor or node name


def check_shape(shape: Iterable[int], what: str) -> tuple[int, ...]:
    """The shape as a tuple; ModelError for a negative or huge one. `what` begins the sentence."""
    dims = tuple(int(d) for d in shape)
    if len(dims) > RANK:
        raise ModelError(f"{what} has {len(dims)} dimensions; at most {RANK} are allowed")
    if any(d < 0 for d in dims):
        raise ModelError(f"{what} has the shape {list(dims)}; dimensions must not be negative")
    # a zero among the dimensions must not hide a huge one, since numpy multiplies the others
    if math.prod(d for d in dims if d) > TENSOR_ELEMENTS:
        raise ModelError(f"{what} has the shape {list(dims)}; at most {TENSOR_ELEMENTS} elements are allowed")
    return dims
