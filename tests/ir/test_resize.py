"""Which pixel is the nearest, where that hangs on how a place is rounded."""

from __future__ import annotations

import numpy as np
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgec.ir.ops.resize import nearest_places, source_places


@pytest.mark.parametrize("coord", ["half_pixel", "asymmetric", "pytorch_half_pixel"])
@pytest.mark.parametrize("rule", ["round_prefer_floor", "round_prefer_ceil", "floor", "ceil"])
def test_the_nearest_pixel_is_onnxruntimes(coord: str, rule: str) -> None:
    """2.3 in float32 is below 2.3, so that (11 + 0.5) / 2.3 - 0.5 is 4.5 in float32 alone."""
    for size, scale in [(14, 2.3), (9, 1.7), (30, 0.7), (17, 3.1), (25, 1.1)]:
        attributes = {"mode": "nearest", "coordinate_transformation_mode": coord, "nearest_mode": rule}
        node = helper.make_node("Resize", ["x", "", "s"], ["y"], **attributes)
        scales = numpy_helper.from_array(np.array([scale], np.float32), "s")
        x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in "xy")
        graph = helper.make_graph([node], "g", [x], [y], [scales])
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
        session = onnxruntime.InferenceSession(model.SerializeToString())
        (picked,) = session.run(None, {"x": np.arange(size, dtype=np.float32)})
        a = {"sizes": [len(picked)], "scales": [float(np.float32(scale))], "coord": coord}
        np.testing.assert_array_equal(nearest_places(source_places(a, 0, size), rule, size), picked)
