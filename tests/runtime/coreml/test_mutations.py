"""Every kind of change to a saved package that changes what it means is refused by the gate."""

from __future__ import annotations

import json
import shutil
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import coreml_samples
import numpy as np
import pytest
from coreml_packages import MIL_pb2, block_of, constant, model_file, operation, read_model, weight_file

from edgec.runtime.coreml.accept import Refused, accept
from edgec.runtime.coreml.wire import PackageError
from edgec.runtime.session import load

CALLS = 2  # so that states count
TOLERANCE = 0.0  # the same numbers by the same evaluator

Edit = Callable[[Any, Path], None]


def _swap_arguments(kind: str, first: str, second: str) -> Edit:
    def edit(model: Any, path: Path) -> None:
        inputs = operation(model, kind).inputs
        a, b = inputs[first].arguments[0], inputs[second].arguments[0]
        a.name, b.name = b.name, a.name

    return edit


def _set(name: str, values: Any) -> Edit:
    """Other numbers or another string in a constant of the program."""

    def edit(model: Any, path: Path) -> None:
        tensor = constant(model, name).immediateValue.tensor
        held = getattr(tensor, tensor.WhichOneof("value"))
        if isinstance(values, bytes):
            assert held.values != values
            held.values = values
            return
        listed = values if isinstance(values, list) else [values]
        assert list(held.values) != listed
        held.ClearField("values")
        held.values.extend(listed)

    return edit


def _blob(name: str, change: Callable[[bytearray, int], None], kind: str | None = None) -> Edit:
    """Bytes of the record that an operand of a constexpr operator, or a constant, is read from."""

    def edit(model: Any, path: Path) -> None:
        value = constant(model, name) if kind is None else operation(model, kind).inputs[name].arguments[0].value
        assert value.WhichOneof("value") == "blobFileValue"
        data = bytearray(weight_file(path).read_bytes())
        change(data, value.blobFileValue.offset)
        weight_file(path).write_bytes(data)

    return edit


def _flip(index: int, bit: int) -> Callable[[bytearray, int], None]:
    def change(data: bytearray, at: int) -> None:
        data[struct.unpack_from("<Q", data, at + 16)[0] + index] ^= 1 << bit

    return change


def _poke(where: int, form: str, value: int) -> Callable[[bytearray, int], None]:
    """A field of a record."""

    def change(data: bytearray, at: int) -> None:
        assert struct.unpack_from(form, data, at + where)[0] != value
        struct.pack_into(form, data, at + where, value)

    return change


def _moved(name: str, onto: str) -> Edit:
    def edit(model: Any, path: Path) -> None:
        constant(model, name).blobFileValue.offset = constant(model, onto).blobFileValue.offset

    return edit


def _opset(version: str, specification: int | None) -> Edit:
    def edit(model: Any, path: Path) -> None:
        for function in model.mlProgram.functions.values():
            function.block_specializations[version].CopyFrom(function.block_specializations[function.opset])
            del function.block_specializations[function.opset]
            function.opset = version
        model.specificationVersion = specification or model.specificationVersion

    return edit


def _do(statement: Callable[[Any], object]) -> Edit:
    return lambda model, path: (statement(model), None)[1]


def _manifest(change: Callable[[dict[str, Any]], None]) -> Edit:
    def edit(model: Any, path: Path) -> None:
        file = path / "Manifest.json"
        raw = json.loads(file.read_text())
        change(raw)
        file.write_text(json.dumps(raw))

    return edit


def _other_root(raw: dict[str, Any]) -> None:
    raw["rootModelIdentifier"] = next(k for k in raw["itemInfoEntries"] if k != raw["rootModelIdentifier"])


def _no_weights(raw: dict[str, Any]) -> None:
    del raw["itemInfoEntries"][next(k for k in raw["itemInfoEntries"] if k != raw["rootModelIdentifier"])]


def _renamed_state(model: Any) -> None:
    model.description.functions[0].state[0].name = "other"


def _drop(kind: str) -> Edit:
    """The operator goes, and its user takes its operand: what a wrong fusion would leave."""

    def edit(model: Any, path: Path) -> None:
        block, gone = block_of(model), operation(model, kind)
        source = gone.inputs["x"].arguments[0].name
        for other in block.operations:
            for argument in other.inputs.values():
                for binding in argument.arguments:
                    if binding.name == gone.outputs[0].name:
                        binding.name = source
        block.operations.remove(gone)

    return edit


def _duplicate(model: Any) -> None:
    block_of(model).operations.add().CopyFrom(operation(model, "gelu"))


def _later(model: Any) -> None:
    """An operator in front of what makes its operand."""
    operations = block_of(model).operations
    moved = operations.pop(next(i for i, o in enumerate(operations) if o.type == "gelu"))
    operations.insert(0, moved)


def _extra_parameter(model: Any) -> None:
    gelu = operation(model, "gelu")
    gelu.inputs["approximate"].CopyFrom(gelu.inputs["mode"])


def _swapped_outputs(model: Any) -> None:
    outputs = block_of(model).outputs
    outputs[0], outputs[1] = outputs[1], outputs[0]
    first, second = operation(model, "sub").outputs[0], operation(model, "mul").outputs[0]
    first.name, second.name = second.name, first.name


def _swapped_labels(model: Any) -> None:
    items = operation(model, "classify").inputs["classes"].arguments[0].value.immediateValue.list.values
    a, b = (items[i].immediateValue.tensor.strings for i in (0, 1))
    a.values[0], b.values[0] = b.values[0], a.values[0]


def _swapped_values(model: Any) -> None:
    arguments = operation(model, "concat").inputs["values"].arguments
    arguments[0].name, arguments[1].name = arguments[1].name, arguments[0].name


def _type_of(named: Any) -> Any:
    return named.type.tensorType


MUTATIONS: list[tuple[str, str, Edit]] = [
    # opset and versions
    ("an opset without the operators", "stateful", _opset("CoreML7", 8)),
    ("opset lowered, specification left", "vision", _opset("CoreML6", None)),
    ("opset of no block", "vision", _do(lambda m: setattr(m.mlProgram.functions["main"], "opset", "CoreML6"))),
    ("specification lowered", "vision", _do(lambda m: setattr(m, "specificationVersion", 6))),
    ("an unknown opset", "vision", _opset("CoreML99", None)),
    # the graph
    ("graph outputs swapped", "stateful", _do(_swapped_outputs)),
    ("operands of sub swapped", "stateful", _swap_arguments("sub", "x", "y")),
    ("key and value swapped", "stateful", _swap_arguments("scaled_dot_product_attention", "key", "value")),
    ("values of concat swapped", "vision", _do(_swapped_values)),
    ("an operator dropped", "vision", _drop("leaky_relu")),
    ("an operator replaced", "vision", _do(lambda m: setattr(operation(m, "max_pool"), "type", "l2_pool"))),
    ("add made mul", "stateful", _do(lambda m: setattr(operation(m, "sub"), "type", "add"))),
    ("an unknown operator", "vision", _do(lambda m: setattr(operation(m, "gelu"), "type", "gellu"))),
    ("a name given twice", "vision", _do(_duplicate)),
    ("an operand defined later", "vision", _do(_later)),
    ("an undefined operand", "vision",
     _do(lambda m: setattr(operation(m, "gelu").inputs["x"].arguments[0], "name", "nobody"))),
    ("a required operand missing", "vision", _do(lambda m: operation(m, "concat").inputs.pop("axis"))),
    ("an unknown operand", "vision", _do(_extra_parameter)),
    ("an output of nothing", "vision", _do(lambda m: block_of(m).outputs.__setitem__(1, "nobody"))),
    ("the write to a state dropped", "stateful",
     _do(lambda m: block_of(m).operations.remove(operation(m, "write_state")))),
    # attributes
    ("gelu mode", "vision", _set("bent_mode_0", "TANH_APPROXIMATION")),
    ("padding of a convolution", "vision", _set("first_pad_0", [0, 2, 0, 2])),
    ("stride of a pool", "vision", _set("most_strides_0", [1, 1])),
    ("kernel of a pool", "vision", _set("mean_kernel_sizes_0", [2, 1])),
    ("epsilon of a norm", "vision", _set("normal_epsilon_0", 1e-5)),
    ("slope", "vision", _set("leaky_alpha_0", 0.2)),
    ("axis of softmax", "vision", _set("probabilities_axis_0", 0)),
    ("axes of a mean", "vision", _set("pooled_axes_0", [3, 2, 1])),
    ("type of a cast", "stateful", _set("half_dtype_0", "fp32")),
    # types and the description
    ("declared shape of a result", "vision",
     _do(lambda m: setattr(_type_of(operation(m, "conv").outputs[0]).dimensions[1].constant, "size", 9))),
    ("declared type of a result", "vision",
     _do(lambda m: setattr(_type_of(operation(m, "conv").outputs[0]), "dataType", MIL_pb2.FLOAT16))),
    ("described shape", "compressed",
     _do(lambda m: m.description.output[0].type.multiArrayType.shape.__setitem__(0, 4))),
    ("described type", "compressed",
     _do(lambda m: setattr(m.description.output[0].type.multiArrayType, "dataType", 65552))),
    ("described name", "compressed", _do(lambda m: setattr(m.description.input[0], "name", "z"))),
    ("described size of a picture", "vision",
     _do(lambda m: setattr(m.description.input[0].type.imageType, "width", 13))),
    ("colour order", "vision", _do(lambda m: setattr(m.description.input[0].type.imageType, "colorSpace", 30))),
    ("described label output", "vision",
     _do(lambda m: setattr(m.description, "predictedFeatureName", "classLabel_probs"))),
    ("order of labels", "vision", _do(_swapped_labels)),
    ("scale of the picture", "vision", _do(lambda m: _set(_argument(m, "mul", "y"), 1 / 32)(m, Path()))),
    ("bias of the picture", "vision", _do(lambda m: _set(_argument(m, "add", "y"), [-2.0, -1.0, -1.5])(m, Path()))),
    ("a state renamed", "stateful", _do(_renamed_state)),
    ("default function", "stateful", _do(lambda m: setattr(m.description, "defaultFunctionName", "plain"))),
    ("a described function missing", "stateful", _do(lambda m: m.description.functions.pop(0))),
    ("a function missing", "stateful", _do(lambda m: m.mlProgram.functions.pop("plain"))),
    # constants and weights
    ("zero point", "compressed", _set("q_zero_point_0", bytes([121]))),
    ("scale of quantize", "compressed", _set("q_scale_0", 1 / 101)),
    ("a weight bit", "vision", _blob("first_weight_0", _flip(103, 1))),
    ("a small weight bit", "vision", _blob("first_weight_0", _flip(100, 6))),
    ("an index of a palette", "compressed", _blob("indices", _flip(7, 1), "constexpr_lut_to_dense")),
    ("an entry of a palette", "compressed", _blob("lut", _flip(10, 5), "constexpr_lut_to_dense")),
    ("a mask bit", "compressed", _blob("mask", _flip(3, 0), "constexpr_sparse_to_dense")),
    ("a value behind the mask", "compressed", _blob("nonzero_data", _flip(6, 6), "constexpr_sparse_to_dense")),
    ("a block's code", "compressed", _blob("data", _flip(9, 2), "constexpr_blockwise_shift_scale")),
    ("a block's scale", "compressed", _blob("scale", _flip(6, 6), "constexpr_blockwise_shift_scale")),
    ("a block's offset", "compressed", _blob("offset", _flip(2, 1), "constexpr_blockwise_shift_scale")),
    ("type of a record", "vision", _blob("first_weight_0", _poke(4, "<I", 14))),
    ("sentinel of a record", "vision", _blob("first_weight_0", _poke(0, "<I", 0))),
    ("size of a record", "vision", _blob("first_weight_0", _poke(8, "<Q", 4))),
    ("data of a record moved", "vision", _blob("first_weight_0", _poke(16, "<Q", 64))),
    ("unused bits of a record", "compressed", _blob("data", _poke(24, "<Q", 4), "constexpr_blockwise_shift_scale")),
    ("a record taken for another", "vision", _moved("normal_gamma_0", "normal_beta_0")),
    ("the weight file cut short", "vision",
     lambda m, p: weight_file(p).write_bytes(weight_file(p).read_bytes()[:-70]) and None),
    ("the count of records", "vision",
     lambda m, p: weight_file(p).write_bytes(b"\x01\0\0\0" + weight_file(p).read_bytes()[4:]) and None),
    ("the weight file missing", "vision", lambda m, p: weight_file(p).unlink()),
    ("the weights no item of the manifest", "vision", _manifest(_no_weights)),
    ("the manifest's root", "vision", _manifest(_other_root)),
    ("the manifest missing", "vision", lambda m, p: (p / "Manifest.json").unlink()),
]  # fmt: skip


def _argument(model: Any, kind: str, name: str) -> str:
    return str(operation(model, kind).inputs[name].arguments[0].name)


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
