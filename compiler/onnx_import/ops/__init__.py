"""Decomposition of ONNX operators into core operators: one table per family, joined here."""

from __future__ import annotations

from edgec.onnx_import.node import Table
from edgec.onnx_import.ops.attention import ATTENTION
from edgec.onnx_import.ops.control import CONTROL
from edgec.onnx_import.ops.conv import CONV
from edgec.onnx_import.ops.cut import CUT
from edgec.onnx_import.ops.dynamic_lstm import DYNAMIC_LSTM
from edgec.onnx_import.ops.elementwise import ELEMENTWISE
from edgec.onnx_import.ops.gather_quantized import GATHER_QUANTIZED
from edgec.onnx_import.ops.grams import GRAMS
from edgec.onnx_import.ops.index import INDEX
from edgec.onnx_import.ops.matmul import MATMUL
from edgec.onnx_import.ops.narrow import NARROW
from edgec.onnx_import.ops.norm import NORM
from edgec.onnx_import.ops.pool import POOL
from edgec.onnx_import.ops.qlinear import QLINEAR
from edgec.onnx_import.ops.quantize import QUANTIZE
from edgec.onnx_import.ops.recurrent import RECURRENT
from edgec.onnx_import.ops.reduce import REDUCE
from edgec.onnx_import.ops.refused import REFUSED
from edgec.onnx_import.ops.resize import RESIZE
from edgec.onnx_import.ops.sample import SAMPLE
from edgec.onnx_import.ops.sequence import SEQUENCE
from edgec.onnx_import.ops.shape import SHAPE
from edgec.onnx_import.ops.signal import SIGNAL
from edgec.onnx_import.ops.trees import TREES

TABLE: Table = {
    **ATTENTION,
    **CONTROL,
    **CONV,
    **CUT,
    **DYNAMIC_LSTM,
    **ELEMENTWISE,
    **GATHER_QUANTIZED,
    **GRAMS,
    **INDEX,
    **MATMUL,
    **NARROW,
    **NORM,
    **POOL,
    **QLINEAR,
    **QUANTIZE,
    **RECURRENT,
    **REDUCE,
    **REFUSED,
    **RESIZE,
    **SAMPLE,
    **SEQUENCE,
    **SHAPE,
    **SIGNAL,
    **TREES,
}
