"""Decomposition of ONNX operators into core operators: one table per family, joined here."""

from __future__ import annotations

from edgec.onnx_import.node import Table
from edgec.onnx_import.ops.conv import CONV
from edgec.onnx_import.ops.elementwise import ELEMENTWISE
from edgec.onnx_import.ops.matmul import MATMUL
from edgec.onnx_import.ops.norm import NORM
from edgec.onnx_import.ops.pool import POOL
from edgec.onnx_import.ops.reduce import REDUCE
from edgec.onnx_import.ops.shape import SHAPE

TABLE: Table = {**ELEMENTWISE, **CONV, **POOL, **MATMUL, **REDUCE, **NORM, **SHAPE}
