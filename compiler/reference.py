"""onnxruntime with its optimisations off: what every artifact is compared with. The only place that imports it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from edgec.ir.errors import ToolError
from edgec.onnx_import.taps import may_round, with_outputs

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
        full = {k: v for k, v in {**self._consts, **feeds}.items() if k in known}
        try:
            return dict(zip(names, self._session.run(names, full), strict=True))
        except Exception as error:
            raise ToolError(f"onnxruntime fails on the model: {str(error).splitlines()[0]}") from None


def fast_session(model: Path, threads: int) -> onnxruntime.InferenceSession:
    """onnxruntime at its best, for `edgec bench`."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 4
    return onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
