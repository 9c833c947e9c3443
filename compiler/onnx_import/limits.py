"""Every limit of the importer in one place, checked before memory or time is spent.

Folding has limits of its own in `ir/cost.py`, since passes fold, too; what is beyond those stays an operator.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

from edgec.ir.errors import ModelError

FILE_BYTES = (1 << 31) - 1  # protobuf parses no more than 2 GiB
EXTERNAL_BYTES = 1 << 35  # of all external data files together; they are mapped, not read
NODES = 50_000  # in the file, subgraphs included, and imported, unrolled loops included
NESTING = 16  # graphs inside nodes inside graphs
RANK = 64  # numpy allows no more
STORED_BYTES = 3 << 29  # of all weights that are used, in the file and beside it
STORED_ELEMENTS = 1 << 31  # of any one tensor in the file or beside it
TENSOR_ELEMENTS = 1 << 28  # of any one tensor that is an input or computed
MADE_BYTES = 1 << 30  # of all arrays made during an import: folded constants, tables; weights lie in the file
WORKING_BYTES = 1 << 29  # of the arrays that making one constant takes
FOLDING_WORK = 1 << 31  # of all folding during an import, as ir/cost.py counts
CPU_SECONDS = 60  # of an import; the other limits end it in less than 10 on a machine of 2020
TABLE_LENGTH = 1 << 22  # of an axis that is padded or resized, whose elements' sources are listed in a table
OPERANDS = 10_000  # elements of an operand that is read as axes, lengths or scales
OPERATORS = 20_000  # of the IR, made by an import
VERIFY_BYTES = 1 << 30  # of scratch, inputs and outputs of a model that is run and compared here
TRIPS = 10_000  # iterations of one unrolled Loop or Scan
SEQUENCE_ITEMS = 10_000  # tensors in one sequence
NAME_LENGTH = 4096  # characters of a tensor or node name


def check_shape(shape: Iterable[int], what: str, most: int = TENSOR_ELEMENTS) -> tuple[int, ...]:
    """The shape as a tuple; ModelError for a negative or huge one. `what` begins the sentence."""
    dims = tuple(int(d) for d in shape)
    if len(dims) > RANK:
        raise ModelError(f"{what} has {len(dims)} dimensions; at most {RANK} are allowed")
    if any(d < 0 for d in dims):
        raise ModelError(f"{what} has the shape {list(dims)}; dimensions must not be negative")
    # a zero among the dimensions must not hide a huge one, since numpy multiplies the others
    if math.prod(d for d in dims if d) > most:
        raise ModelError(f"{what} has the shape {list(dims)}; at most {most} elements are allowed")
    return dims


def check_stored(shape: Iterable[int], what: str) -> tuple[int, ...]:
    """The same for a tensor in the file."""
    return check_shape(shape, what, STORED_ELEMENTS)


def check_working(nbytes: int, what: str) -> None:
    """ModelError when arrays that are needed for a moment are too large."""
    if nbytes > WORKING_BYTES:
        raise ModelError(f"{what} needs {nbytes} bytes; at most {WORKING_BYTES} bytes are allowed")
