"""Hostile files: external data where it must not be, and names that are legal and look like code."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from hostile.kit import FLOAT, added, anything, array, constant_in_a_function, model, node, port, relu
from hostile.table import Hostile
from onnx import ModelProto, TensorProto, helper

NUMBERS = np.arange(6, dtype=np.float32)


def outside(location: str, offset: str = "0", length: str | None = None, *dims: int) -> TensorProto:
    tensor = TensorProto(name="w", data_type=FLOAT, dims=dims or (2, 3), data_location=TensorProto.EXTERNAL)
    entries = {"location": location, "offset": offset} | ({} if length is None else {"length": length})
    for key, value in entries.items():
        tensor.external_data.add(key=key, value=value)
    return tensor


def data(folder: Path) -> None:
    (folder / "w.bin").write_bytes(NUMBERS.tobytes())


def secret(folder: Path) -> None:
    """A file above the model's folder, and a link to it."""
    (folder / "link.bin").symlink_to("/etc/hostname")
    (folder / "folder.bin").mkdir()


def pipe(folder: Path) -> None:
    os.mkfifo(folder / "pipe.bin")


def whole() -> ModelProto:
    return added(outside("w.bin"))


def above_the_folder() -> ModelProto:
    return added(outside("../../../etc/passwd"))


def above_and_back() -> ModelProto:
    return added(outside("a/../../w.bin"))


def absolute() -> ModelProto:
    return added(outside("/etc/passwd"))


def device() -> ModelProto:
    return added(outside("/dev/zero"))


def link() -> ModelProto:
    return added(outside("link.bin"))


def directory() -> ModelProto:
    return added(outside("folder.bin"))


def named_pipe() -> ModelProto:
    return added(outside("pipe.bin"))


def missing() -> ModelProto:
    return added(outside("none.bin"))


def no_location() -> ModelProto:
    return added(outside(""))


def location_with_a_null() -> ModelProto:
    return added(outside("w.bin\0.txt"))


def location_of_many_lines() -> ModelProto:
    return added(outside("a\nb\nc"))


def location_too_long() -> ModelProto:
    return added(outside("x" * 5000))


def too_short() -> ModelProto:
    return added(outside("w.bin", "0", None, 2, 30))


def too_long() -> ModelProto:
    return added(outside("w.bin", "0", "8"))


def negative_offset() -> ModelProto:
    return added(outside("w.bin", "-8"))


def offset_beyond_the_end() -> ModelProto:
    return added(outside("w.bin", str(1 << 62)))


def offset_that_is_no_number() -> ModelProto:
    return added(outside("w.bin", "0x10"))


def offset_of_ten_thousand_digits() -> ModelProto:
    return added(outside("w.bin", "9" * 10_000))


def model_as_its_own_data() -> ModelProto:
    """Its bytes are numbers like any others: odd but legal."""
    return added(outside("m.onnx"))


def in_an_attribute() -> ModelProto:
    tensor = outside("/etc/passwd")
    return model([node("Constant", [], ["w"], value=tensor), node("Add", ["x", "w"], ["y"])])


def in_a_function() -> ModelProto:
    return constant_in_a_function(outside("../secret.bin"))


def in_a_branch() -> ModelProto:
    branch = helper.make_graph([node("Add", ["x", "w"], ["b"])], "b", [], [anything("b")], [outside("../secret.bin")])
    return model([node("If", ["c"], ["y"], then_branch=branch, else_branch=branch)], [array("c", True, bool)])


# -- names --------------------------------------------------------------------------------------------------------

ODD = (
    "*/ int main(void){for(;;);} /*",
    '"; #include "/etc/passwd',
    "a ??/ b",
    "%s%n",
    "\\",
    "../../x",
    "int",
    "é\u4e2d",
)


def names_like_code() -> ModelProto:
    """Inputs, outputs, nodes and weights."""
    inputs = [port(name, 2, 3) for name in ODD]
    nodes = [node("Add", [name, "w*/"], [f"{name} out"], name=name) for name in ODD]
    made = model(nodes, [array("w*/", [1.0])], inputs, [port(f"{name} out", 2, 3) for name in ODD])
    made.graph.name, made.producer_name, made.doc_string = "*/", "*/\n#error", "*/\n#error"
    return made


def names_that_differ_in_signs_only() -> ModelProto:
    inputs = [port(name, 2, 3) for name in ("a b", "a_b", "a.b", "a-b")]
    return model([node("Sum", [i.name for i in inputs], ["A_B"])], x=inputs, y=port("A_B", 2, 3))


def input_as_output() -> ModelProto:
    return model([], y=port("x", 2, 3))


def weights_as_output() -> ModelProto:
    return model([node("Relu", ["x"], ["y"])], [array("w", [1.0, 2.0])], y=[anything("y"), anything("w")])


def no_inputs() -> ModelProto:
    return model([node("Relu", ["w"], ["y"])], [array("w", [-1.0, 2.0])], x=[])


def empty_input() -> ModelProto:
    return relu(x=port("x", 0, 3))


def dead_nonsense() -> ModelProto:
    """What no output needs is not imported."""
    made = model([node("Odd", ["x"], ["z"], domain="com.example"), node("Relu", ["x"], ["y"])])
    made.opset_import.add(domain="com.example", version=1)
    return made


FILES: tuple[Hostile, ...] = (
    Hostile(whole, 0, beside=data),
    Hostile(above_the_folder, 3, "outside the model's folder"),
    Hostile(above_and_back, 3, "outside the model's folder"),
    Hostile(absolute, 3, "outside the model's folder"),
    Hostile(device, 3, "outside the model's folder"),
    Hostile(link, 3, "outside the model's folder", beside=secret),
    Hostile(directory, 3, "not a file", beside=secret),
    Hostile(named_pipe, 3, "not a file", beside=pipe),
    Hostile(missing, 3, "not a file"),
    Hostile(no_location, 3, "outside the model's folder"),
    Hostile(location_with_a_null, 3, "broken external data"),
    Hostile(location_of_many_lines, 3, "external data"),
    Hostile(location_too_long, 3, "external data"),
    Hostile(too_short, 3, "needs 240 bytes at offset 0 of 'w.bin', which has 24", beside=data),
    Hostile(too_long, 3, "needs 24 bytes at offset 0 of 'w.bin', which has 24 and gives 8", beside=data),
    Hostile(negative_offset, 3, "offset -8", beside=data),
    Hostile(offset_beyond_the_end, 3, "offset 4611686018427387904", beside=data),
    Hostile(offset_that_is_no_number, 3, "broken external data", beside=data),
    Hostile(offset_of_ten_thousand_digits, 3, "broken external data", beside=data),
    Hostile(model_as_its_own_data, 0, heavy=True),
    Hostile(in_an_attribute, 3, "outside the model's folder"),
    Hostile(in_a_function, 3, "outside"),
    Hostile(in_a_branch, 3, "outside the model's folder"),
    Hostile(names_like_code, 0),
    Hostile(names_that_differ_in_signs_only, 0, heavy=True),
    Hostile(relu, 0, file='*: "int ü.onnx'),
    Hostile(input_as_output, 0),
    Hostile(weights_as_output, 0),
    Hostile(no_inputs, 0, heavy=True),
    Hostile(empty_input, 0),
    Hostile(dead_nonsense, 0, heavy=True),
)
