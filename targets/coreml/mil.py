"""coremltools, imported quietly: on Linux it says of each of its parts for macOS that it is missing.

The only file that imports it first; the others of this folder are imported when a package is made.
"""

from __future__ import annotations

import logging
import warnings

from edgec.ir.errors import ToolError
from edgec.targets.coreml.silence import silent

try:
    with silent(logging.ERROR), warnings.catch_warnings():  # "Failed to load _MLModelProxy" and the like
        warnings.simplefilter("ignore")
        import coremltools
        from coremltools.converters.mil import Builder as mb
        from coremltools.converters.mil.backend.mil.load import load as export
        from coremltools.converters.mil.frontend.milproto.load import load as load_program
        from coremltools.converters.mil.mil import Function, Program, Var, mil_list, types
        from coremltools.proto import FeatureTypes_pb2 as feature_types
        from coremltools.proto import Model_pb2 as model_messages
except ImportError as error:
    raise ToolError(f"Core ML packages are made with coremltools ({error}): pip install 'edgec[coreml]'") from error

OPSETS = {
    "ios15": coremltools.target.iOS15,
    "ios16": coremltools.target.iOS16,
    "ios17": coremltools.target.iOS17,
    "ios18": coremltools.target.iOS18,
    "ios26": coremltools.target.iOS26,
}
DTYPES = {"f32": types.fp32, "f16": types.fp16, "i32": types.int32, "bool": types.bool, "i8": types.int8,
          "u8": types.uint8, "i16": types.int16, "u16": types.uint16}  # fmt: skip


def is_constant(x: Var) -> bool:
    """Whether a variable is a constant to Core ML, compressed or not."""
    return x.op is not None and (x.op.op_type == "const" or x.op.op_type.startswith("constexpr_"))


__all__ = ["DTYPES", "OPSETS", "Function", "Program", "Var", "coremltools", "export", "feature_types", "load_program",
           "mb", "mil_list", "model_messages", "types"]  # fmt: skip
