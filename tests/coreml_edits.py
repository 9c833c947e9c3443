"""Changes to saved packages, each of which changes what they mean: of the program's message, or of files."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

from coreml_packages import block_of, constant, operation, weight_file

Edit = Callable[[Any, Path], None]


def swap_arguments(kind: str, first: str, second: str) -> Edit:
    def edit(model: Any, path: Path) -> None:
        inputs = operation(model, kind).inputs
        a, b = inputs[first].arguments[0], inputs[second].arguments[0]
        a.name, b.name = b.name, a.name

    return edit


def put(name: str, values: Any) -> Edit:
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


def blob(name: str, change: Callable[[bytearray, int], None], kind: str | None = None) -> Edit:
    """Bytes of the record that an operand of a constexpr operator, or a constant, is read from."""

    def edit(model: Any, path: Path) -> None:
        value = constant(model, name) if kind is None else operation(model, kind).inputs[name].arguments[0].value
        assert value.WhichOneof("value") == "blobFileValue"
        data = bytearray(weight_file(path).read_bytes())
        change(data, value.blobFileValue.offset)
        weight_file(path).write_bytes(data)

    return edit


def flip(index: int, bit: int) -> Callable[[bytearray, int], None]:
    def change(data: bytearray, at: int) -> None:
        data[struct.unpack_from("<Q", data, at + 16)[0] + index] ^= 1 << bit

    return change


def poke(where: int, form: str, value: int) -> Callable[[bytearray, int], None]:
    """A field of a record."""

    def change(data: bytearray, at: int) -> None:
        assert struct.unpack_from(form, data, at + where)[0] != value
        struct.pack_into(form, data, at + where, value)

    return change


def moved(name: str, onto: str) -> Edit:
    def edit(model: Any, path: Path) -> None:
        constant(model, name).blobFileValue.offset = constant(model, onto).blobFileValue.offset

    return edit


def opset(version: str, specification: int | None) -> Edit:
    def edit(model: Any, path: Path) -> None:
        for function in model.mlProgram.functions.values():
            function.block_specializations[version].CopyFrom(function.block_specializations[function.opset])
            del function.block_specializations[function.opset]
            function.opset = version
        model.specificationVersion = specification or model.specificationVersion

    return edit


def do(statement: Callable[[Any], object]) -> Edit:
    return lambda model, path: (statement(model), None)[1]


def manifest(change: Callable[[dict[str, Any]], None]) -> Edit:
    def edit(model: Any, path: Path) -> None:
        file = path / "Manifest.json"
        raw = json.loads(file.read_text())
        change(raw)
        file.write_text(json.dumps(raw))

    return edit


def other_root(raw: dict[str, Any]) -> None:
    raw["rootModelIdentifier"] = next(k for k in raw["itemInfoEntries"] if k != raw["rootModelIdentifier"])


def no_weights(raw: dict[str, Any]) -> None:
    del raw["itemInfoEntries"][next(k for k in raw["itemInfoEntries"] if k != raw["rootModelIdentifier"])]


def renamed_state(model: Any) -> None:
    model.description.functions[0].state[0].name = "other"


def drop(kind: str) -> Edit:
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


def duplicate(model: Any) -> None:
    block_of(model).operations.add().CopyFrom(operation(model, "gelu"))


def later(model: Any) -> None:
    """An operator in front of what makes its operand."""
    operations = block_of(model).operations
    moved = operations.pop(next(i for i, o in enumerate(operations) if o.type == "gelu"))
    operations.insert(0, moved)


def extra_parameter(model: Any) -> None:
    gelu = operation(model, "gelu")
    gelu.inputs["approximate"].CopyFrom(gelu.inputs["mode"])


def swapped_outputs(model: Any) -> None:
    outputs = block_of(model).outputs
    outputs[0], outputs[1] = outputs[1], outputs[0]
    first, second = operation(model, "sub").outputs[0], operation(model, "mul").outputs[0]
    first.name, second.name = second.name, first.name


def swapped_labels(model: Any) -> None:
    items = operation(model, "classify").inputs["classes"].arguments[0].value.immediateValue.list.values
    a, b = (items[i].immediateValue.tensor.strings for i in (0, 1))
    a.values[0], b.values[0] = b.values[0], a.values[0]


def swapped_values(model: Any) -> None:
    arguments = operation(model, "concat").inputs["values"].arguments
    arguments[0].name, arguments[1].name = arguments[1].name, arguments[0].name


def type_of(named: Any) -> Any:
    return named.type.tensorType


def argument(model: Any, kind: str, name: str) -> str:
    return str(operation(model, kind).inputs[name].arguments[0].name)
