"""onnxruntime with its optimisations off: what every artifact is compared with. The only place that imports it."""

from __future__ import annotations

import ctypes
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from edgec.ir.errors import ReferenceFails, ToolError
from edgec.ir.types import DTYPES, bits_of, dtype_name
from edgec.onnx_import.ops.narrow import unpacked
from edgec.onnx_import.taps import may_round, with_outputs
from edgec.onnx_import.tensors import CODES, ELEMENTS
from edgec.runtime.buffers import is_foreign

Array = np.ndarray[Any, Any]


class Reference:
    """`consts` are inputs that the build bound; they are fed each time. `tensors` of the model become outputs, too."""

    def __init__(self, model: Path, consts: Mapping[str, Array], tensors: Sequence[str] = ()) -> None:
        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        options.intra_op_num_threads = 1
        options.log_severity_level = 4
        copied = bool(tensors) or may_round(model)
        if copied:
            options.add_session_config_entry("session.model_external_initializers_file_folder_path", str(model.parent))
        source = with_outputs(model, tensors) if copied else str(model)
        try:
            self._session = onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime raises types of its own, all from Exception
            raise ToolError(f"onnxruntime refuses the model: {str(error).splitlines()[0]}") from None
        self._consts = dict(consts)
        self.version = f"onnxruntime {onnxruntime.__version__}"

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Outputs by name."""
        names = [o.name for o in self._session.get_outputs()]
        known = {i.name for i in self._session.get_inputs()}
        full = {k: ort_value(v) for k, v in {**self._consts, **feeds}.items() if k in known}
        try:
            found = self._session.run_with_ort_values(names, full)
            return {name: _taken(value) for name, value in zip(names, found, strict=True)}
        except Exception as error:
            raise ReferenceFails(f"onnxruntime fails on the model: {str(error).splitlines()[0]}") from None


def ort_value(array: Array) -> onnxruntime.OrtValue:
    """An array as onnxruntime has it, which takes no array of ml_dtypes: bytes, elements of fewer bits side by side."""
    name, array = dtype_name(array.dtype), np.asarray(array, order="C")
    if not is_foreign(array.dtype):
        return onnxruntime.OrtValue.ortvalue_from_numpy(array)
    stored = array.view(np.uint16 if name == "bf16" else np.uint8)
    bits = bits_of(name)
    if bits < 8:
        each = np.zeros((-(-array.size * bits // 8), 8 // bits), np.uint8)
        each.reshape(-1)[: array.size] = np.bitwise_and(stored.reshape(-1), (1 << bits) - 1)
        packed = np.bitwise_or.reduce(each << np.arange(0, 8, bits, dtype=np.uint8), axis=1)
        stored = np.zeros(array.shape, np.uint8)  # the shape says how many elements there are
        stored.reshape(-1)[: packed.size] = packed
    return onnxruntime.OrtValue.ortvalue_from_numpy_with_onnx_type(stored, CODES[name])


def _taken(value: onnxruntime.OrtValue) -> Array:
    """The array of a result."""
    name = ELEMENTS[value.element_type()]
    if not is_foreign(DTYPES[name]):
        return np.asarray(value.numpy())
    stored = np.frombuffer(ctypes.string_at(value.data_ptr(), value.tensor_size_in_bytes()), np.uint8)
    shape, bits = tuple(value.shape()), bits_of(name)
    if bits < 8:
        stored = unpacked(stored.reshape(1, -1), bits, math.prod(shape))
    return stored.view(DTYPES[name]).reshape(shape)


def fast_session(model: Path, threads: int) -> onnxruntime.InferenceSession:
    """onnxruntime at its best, for `edgec bench`."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 4
    return onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
