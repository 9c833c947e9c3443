"""The decomposition table: ONNX operator -> function that builds core ops."""

from __future__ import annotations

from collections.abc import Callable

from edgec.ir.graph import Value
from edgec.onnx_import.node import Node
from edgec.onnx_import.ops import conv, elementwise, shape

TABLE: dict[str, Callable[[Node], list[Value]]] = {**elementwise.TABLE, **conv.TABLE, **shape.TABLE}
