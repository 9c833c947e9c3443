"""All lowering functions by op kind."""

from __future__ import annotations

from edgec.targets.c.lower.attention import ATTENTION
from edgec.targets.c.lower.context import LowerOp
from edgec.targets.c.lower.conv_transpose import CONV_TRANSPOSE
from edgec.targets.c.lower.dynamic import DYNAMIC
from edgec.targets.c.lower.elementwise import ELEMENTWISE
from edgec.targets.c.lower.float8 import FLOAT8
from edgec.targets.c.lower.index import INDEX
from edgec.targets.c.lower.integer import INTEGER
from edgec.targets.c.lower.integer_rows import INTEGER_ROWS
from edgec.targets.c.lower.matmul import MATMUL
from edgec.targets.c.lower.qmatmul import QMATMUL
from edgec.targets.c.lower.recurrent import RECURRENT
from edgec.targets.c.lower.reduce import REDUCE
from edgec.targets.c.lower.resize import RESIZE
from edgec.targets.c.lower.shape import SHAPE
from edgec.targets.c.lower.window import WINDOW

LOWER: dict[str, LowerOp] = {
    **ELEMENTWISE,
    **CONV_TRANSPOSE,
    **WINDOW,
    **MATMUL,
    **QMATMUL,
    **INTEGER,
    **INTEGER_ROWS,
    **FLOAT8,
    **DYNAMIC,
    **REDUCE,
    **SHAPE,
    **INDEX,
    **RESIZE,
    **RECURRENT,
    **ATTENTION,
}
