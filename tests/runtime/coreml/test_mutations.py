"""Every kind of change to a saved package that changes what it means is refused by the gate."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import coreml_samples
import numpy as np
import pytest
from coreml_edits import (
    Edit,
    argument,
    blob,
    do,
    drop,
    duplicate,
    extra_parameter,
    flip,
    later,
    manifest,
    moved,
    no_weights,
    opset,
    other_root,
    poke,
    put,
    renamed_state,
    swap_arguments,
    swapped_labels,
    swapped_outputs,
    swapped_values,
    type_of,
)
from coreml_packages import MIL_pb2, block_of, model_file, operation, read_model, weight_file

from edgec.runtime.coreml.accept import Refused, accept
from edgec.runtime.coreml.wire import PackageError
from edgec.runtime.session import load

CALLS = 2  # so that states count
TOLERANCE = 0.0  # the same numbers by the same evaluator

MUTATIONS: list[tuple[str, str, Edit]] = [
    # opset and versions
    ("an opset without the operators", "stateful", opset("CoreML7", 8)),
    ("opset lowered, specification left", "vision", opset("CoreML6", None)),
    ("opset of no block", "vision", do(lambda m: setattr(m.mlProgram.functions["main"], "opset", "CoreML6"))),
    ("specification lowered", "vision", do(lambda m: setattr(m, "specificationVersion", 6))),
    ("an unknown opset", "vision", opset("CoreML99", None)),
    # the graph
    ("graph outputs swapped", "stateful", do(swapped_outputs)),
    ("operands of sub swapped", "stateful", swap_arguments("sub", "x", "y")),
    ("key and value swapped", "stateful", swap_arguments("scaled_dot_product_attention", "key", "value")),
    ("values of concat swapped", "vision", do(swapped_values)),
    ("an operator dropped", "vision", drop("leaky_relu")),
    ("an operator replaced", "vision", do(lambda m: setattr(operation(m, "max_pool"), "type", "l2_pool"))),
    ("add made mul", "stateful", do(lambda m: setattr(operation(m, "sub"), "type", "add"))),
    ("an unknown operator", "vision", do(lambda m: setattr(operation(m, "gelu"), "type", "gellu"))),
    ("a name given twice", "vision", do(duplicate)),
    ("an operand defined later", "vision", do(later)),
    ("an undefined operand", "vision",
     do(lambda m: setattr(operation(m, "gelu").inputs["x"].arguments[0], "name", "nobody"))),
    ("a required operand missing", "vision", do(lambda m: operation(m, "concat").inputs.pop("axis"))),
    ("an unknown operand", "vision", do(extra_parameter)),
    ("an output of nothing", "vision", do(lambda m: block_of(m).outputs.__setitem__(1, "nobody"))),
    ("the write to a state dropped", "stateful",
     do(lambda m: block_of(m).operations.remove(operation(m, "write_state")))),
    # attributes
    ("gelu mode", "vision", put("bent_mode_0", "TANH_APPROXIMATION")),
    ("padding of a convolution", "vision", put("first_pad_0", [0, 2, 0, 2])),
    ("stride of a pool", "vision", put("most_strides_0", [1, 1])),
    ("kernel of a pool", "vision", put("mean_kernel_sizes_0", [2, 1])),
    ("epsilon of a norm", "vision", put("normal_epsilon_0", 1e-5)),
    ("slope", "vision", put("leaky_alpha_0", 0.2)),
    ("axis of softmax", "vision", put("probabilities_axis_0", 0)),
    ("axes of a mean", "vision", put("pooled_axes_0", [3, 2, 1])),
    ("type of a cast", "stateful", put("half_dtype_0", "fp32")),
    # types and the description
    ("declared shape of a result", "vision",
     do(lambda m: setattr(type_of(operation(m, "conv").outputs[0]).dimensions[1].constant, "size", 9))),
    ("declared type of a result", "vision",
     do(lambda m: setattr(type_of(operation(m, "conv").outputs[0]), "dataType", MIL_pb2.FLOAT16))),
    ("described shape", "compressed",
     do(lambda m: m.description.output[0].type.multiArrayType.shape.__setitem__(0, 4))),
    ("described type", "compressed",
     do(lambda m: setattr(m.description.output[0].type.multiArrayType, "dataType", 65552))),
    ("described name", "compressed", do(lambda m: setattr(m.description.input[0], "name", "z"))),
    ("described size of a picture", "vision",
     do(lambda m: setattr(m.description.input[0].type.imageType, "width", 13))),
    ("colour order", "vision", do(lambda m: setattr(m.description.input[0].type.imageType, "colorSpace", 30))),
    ("described label output", "vision",
     do(lambda m: setattr(m.description, "predictedFeatureName", "classLabel_probs"))),
    ("order of labels", "vision", do(swapped_labels)),
    ("scale of the picture", "vision", do(lambda m: put(argument(m, "mul", "y"), 1 / 32)(m, Path()))),
    ("bias of the picture", "vision", do(lambda m: put(argument(m, "add", "y"), [-2.0, -1.0, -1.5])(m, Path()))),
    ("a state renamed", "stateful", do(renamed_state)),
    ("default function", "stateful", do(lambda m: setattr(m.description, "defaultFunctionName", "plain"))),
    ("a described function missing", "stateful", do(lambda m: m.description.functions.pop(0))),
    ("a function missing", "stateful", do(lambda m: m.mlProgram.functions.pop("plain"))),
    # constants and weights
    ("zero point", "compressed", put("q_zero_point_0", bytes([121]))),
    ("scale of quantize", "compressed", put("q_scale_0", 1 / 101)),
    ("a weight bit", "vision", blob("first_weight_0", flip(103, 1))),
    ("a small weight bit", "vision", blob("first_weight_0", flip(100, 6))),
    ("an index of a palette", "compressed", blob("indices", flip(7, 1), "constexpr_lut_to_dense")),
    ("an entry of a palette", "compressed", blob("lut", flip(10, 5), "constexpr_lut_to_dense")),
    ("a mask bit", "compressed", blob("mask", flip(3, 0), "constexpr_sparse_to_dense")),
    ("a value behind the mask", "compressed", blob("nonzero_data", flip(6, 6), "constexpr_sparse_to_dense")),
    ("a block's code", "compressed", blob("data", flip(9, 2), "constexpr_blockwise_shift_scale")),
    ("a block's scale", "compressed", blob("scale", flip(6, 6), "constexpr_blockwise_shift_scale")),
    ("a block's offset", "compressed", blob("offset", flip(2, 1), "constexpr_blockwise_shift_scale")),
    ("type of a record", "vision", blob("first_weight_0", poke(4, "<I", 14))),
    ("sentinel of a record", "vision", blob("first_weight_0", poke(0, "<I", 0))),
    ("size of a record", "vision", blob("first_weight_0", poke(8, "<Q", 4))),
    ("data of a record moved", "vision", blob("first_weight_0", poke(16, "<Q", 64))),
    ("unused bits of a record", "compressed", blob("data", poke(24, "<Q", 4), "constexpr_blockwise_shift_scale")),
    ("a record taken for another", "vision", moved("normal_gamma_0", "normal_beta_0")),
    ("the weight file cut short", "vision",
     lambda m, p: weight_file(p).write_bytes(weight_file(p).read_bytes()[:-70]) and None),
    ("the count of records", "vision",
     lambda m, p: weight_file(p).write_bytes(b"\x01\0\0\0" + weight_file(p).read_bytes()[4:]) and None),
    ("the weight file missing", "vision", lambda m, p: weight_file(p).unlink()),
    ("the weights no item of the manifest", "vision", manifest(no_weights)),
    ("the manifest's root", "vision", manifest(other_root)),
    ("the manifest missing", "vision", lambda m, p: (p / "Manifest.json").unlink()),
]  # fmt: skip


Golden = tuple[Path, list[dict[str, Any]], list[dict[str, Any]]]


@pytest.fixture(scope="module")
def golden(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Golden]:
    """Each sample with inputs and what it answers to them, call by call."""
    found = {}
    for name in ("vision", "compressed", "stateful"):
        path, inputs = getattr(coreml_samples, name)(tmp_path_factory.mktemp(name) / f"{name}.mlpackage")
        session = load(path)
        outputs = []
        for _ in range(CALLS):
            made = dict(zip([t.name for t in session.outputs], session.run(None, inputs), strict=True))
            if session.labels:
                made["classLabel_probs"] = dict(zip(session.labels, made["classLabel_probs"].tolist(), strict=True))
            outputs.append(made)
        found[name] = path, [inputs] * CALLS, outputs
    return found


@pytest.mark.parametrize("name", ["vision", "compressed", "stateful"])
def test_the_originals_pass(golden: dict[str, Golden], name: str) -> None:
    path, inputs, outputs = golden[name]
    assert all(d == 0 for call in accept(path, inputs, outputs, TOLERANCE) for d in call.values())


@pytest.mark.parametrize(("what", "name", "edit"), MUTATIONS, ids=[m[0].replace(" ", "_") for m in MUTATIONS])
def test_no_mutant_passes(golden: dict[str, Golden], tmp_path: Path, what: str, name: str, edit: Edit) -> None:
    source, inputs, outputs = golden[name]
    path = tmp_path / source.name
    shutil.copytree(source, path)
    model = read_model(path)
    before = model.SerializeToString(deterministic=True)
    edit(model, path)
    if model.SerializeToString(deterministic=True) != before:
        model_file(path).write_bytes(model.SerializeToString())
    with pytest.raises(PackageError) as caught:
        accept(path, inputs, outputs, TOLERANCE)
    assert len(str(caught.value)) > 30
    assert "\n" not in str(caught.value)


def test_states_go_on_and_are_compared(golden: dict[str, Golden]) -> None:
    path, inputs, outputs = golden["stateful"]
    assert not np.array_equal(outputs[0]["difference"], outputs[1]["difference"])
    with pytest.raises(Refused, match="of call 2"):
        accept(path, inputs, [outputs[0], outputs[0]], TOLERANCE)
