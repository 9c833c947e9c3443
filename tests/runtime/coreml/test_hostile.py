"""Damaged and hostile packages: one sentence each, no crash, no memory."""

from __future__ import annotations

import json
import os
import random
import resource
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from coreml_packages import block_of, constant, mb, model_file, operation, read_model, save, weight_file
from coreml_samples import vision

from edgec.runtime.coreml.check import check_package
from edgec.runtime.coreml.datatypes import BY_NAME, unpack
from edgec.runtime.coreml.evaluate import Evaluator
from edgec.runtime.coreml.package import read_package
from edgec.runtime.coreml.wire import MAX_DEPTH, Budget, Message, PackageError
from edgec.runtime.session import load

X = np.linspace(-1, 1, 2 * 8, dtype=np.float32).reshape(2, 8)


@pytest.fixture
def package(tmp_path: Path) -> Path:
    weight = np.arange(64, dtype=np.float32).reshape(8, 8) / 64
    return save(tmp_path / "x.mlpackage", lambda x: mb.linear(x=x, weight=weight, name="y"), {"x": (2, 8)})


def run(path: Path) -> None:
    check_package(path)
    with load(path) as session:
        session.run(None, {"x": X})


def sentence(path: Path) -> str:
    with pytest.raises(PackageError) as caught:
        run(path)
    text = str(caught.value)
    assert "\n" not in text
    assert len(text) < 400
    return text


def refusal(path: Path) -> str:
    """The sentence that refuses a package, '' when it runs."""
    try:
        run(path)
    except PackageError as error:
        return str(error)
    return ""


def message(data: bytes) -> Message:
    return Message(memoryview(data), Budget("x"))


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"\x08", "ends within a number"),
        (b"\x08" + b"\x80" * 11, "more than 10 bytes"),
        (b"\x0a\x05abc", "5 bytes reaches beyond"),
        (b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\x7f", "reaches beyond"),
        (b"\x0b", "wire type 3"),
        (b"\x00\x01", "the number 0"),
        (b"\x0d\x00\x00", "reaches beyond"),
    ],
)
def test_broken_messages(data: bytes, said: str) -> None:
    with pytest.raises(PackageError, match=said):
        message(data)


def test_numbers_of_the_wire() -> None:
    """150 as in protobuf's documentation; -1 has ten bytes; packed and single values are the same field."""
    assert message(b"\x08\x96\x01").integer(1) == 150
    assert message(b"\x08" + b"\xff" * 9 + b"\x01").integer(1) == -1
    assert message(b"\x0a\x03\x03\x96\x01\x08\x07").integers(1) == [3, 150, 7]
    assert message(b"\x0a\x0b" + b"\xff" * 9 + b"\x01\x05").integers(1) == [-1, 5]
    assert message(b"\x12\x02\xc3\xa9").text(2) == "é"
    np.testing.assert_array_equal(message(b"\x0a\x08" + struct.pack("<2f", 1.5, -2)).fixed(1, "<f4"), [1.5, -2])


def test_nesting_is_bounded() -> None:
    """Messages within messages, more than Python's stack would bear: values of lists of lists ..."""
    data = b""
    for _ in range(4000):
        length = len(data)
        size = b""
        while True:
            size += bytes([length & 0x7F | (0x80 if length > 0x7F else 0)])
            length >>= 7
            if not length:
                break
        data = b"\x0a" + size + data

    def descend(current: Message | None) -> None:
        while current is not None:
            current = current.message(1)

    with pytest.raises(PackageError, match=f"more than {MAX_DEPTH} deep"):
        descend(message(data))


@pytest.mark.parametrize("name", ["uint1", "uint2", "uint3", "uint4", "uint6", "int4"])
def test_few_bits(name: str) -> None:
    """Element i starts at bit i*bits, counted from the least significant: against arithmetic on one long integer."""
    dtype = BY_NAME[name]
    data = bytes(random.Random(1).randbytes(30))
    whole = int.from_bytes(data, "little")
    mask = (1 << dtype.bits) - 1
    values = [whole >> (i * dtype.bits) & mask for i in range(30 * 8 // dtype.bits)]
    if name == "int4":
        values = [v - 16 if v > 7 else v for v in values]
    assert unpack(data, dtype, len(values)).tolist() == values


@pytest.mark.parametrize("which", [lambda p: p / "Manifest.json", model_file, weight_file])
@pytest.mark.parametrize("put", [os.mkfifo, Path.mkdir, lambda path: path.symlink_to("/dev/zero")])
def test_what_is_no_file(package: Path, which: Callable[[Path], Path], put: Callable[[Path], None]) -> None:
    """A pipe that nobody writes to, a folder, a device without an end: not waited for and not read."""
    which(package).unlink()
    put(which(package))
    with pytest.raises(PackageError, match=r"is not a (regular file|path inside the package)"):
        Evaluator(read_package(package)).run({"x": X})


def test_a_manifest_from_elsewhere(package: Path) -> None:
    outside = package.parent / "outside.json"
    (package / "Manifest.json").rename(outside)
    (package / "Manifest.json").symlink_to(outside)
    assert "Manifest.json is not a regular file" in sentence(package)


def _manifest(package: Path, **changes: object) -> None:
    file = package / "Manifest.json"
    raw = json.loads(file.read_text())
    for key, item in raw["itemInfoEntries"].items():
        if key == raw["rootModelIdentifier"]:
            item.update(changes)
    file.write_text(json.dumps(raw))


@pytest.mark.parametrize(
    "item", ["../../secret", "/etc/passwd", "", ".", "com.apple.CoreML/../../../x", "com.apple.CoreML/loop", "a\0b"]
)
def test_items_that_leave_the_package(package: Path, item: str) -> None:
    (package.parent / "secret").write_bytes(model_file(package).read_bytes())
    (model_file(package).parent / "loop").symlink_to("loop")
    _manifest(package, path=item)
    assert "package" in sentence(package) or "does not exist" in sentence(package)


def test_a_link_out_of_the_package(package: Path) -> None:
    outside = package.parent / "outside.mlmodel"
    model_file(package).rename(outside)
    model_file(package).symlink_to(outside)
    assert "not a path inside the package" in sentence(package)


@pytest.mark.parametrize(
    "name", ["/etc/passwd", "@model_path/../../../x", "@model_path//etc/passwd", "weights/weight.bin"]
)
def test_weight_files_outside(package: Path, name: str) -> None:
    model = read_model(package)
    constant(model, "y_weight_0").blobFileValue.fileName = name
    model_file(package).write_bytes(model.SerializeToString())
    findings = check_package(package)
    assert any("weight file" in str(f) for f in findings)
    with pytest.raises(PackageError, match="weight file"):
        Evaluator(read_package(package)).run({"x": X})


@pytest.mark.parametrize(
    "text", ["", "[]", "{", "null", '{"itemInfoEntries": []}', "[" * 100_000, '{"itemInfoEntries": {"a": 1}}', "\xff"]
)
def test_manifests_that_are_none(package: Path, text: str) -> None:
    (package / "Manifest.json").write_text(text, encoding="latin-1")
    assert "Manifest.json" in sentence(package)


def test_a_root_that_is_no_item(package: Path) -> None:
    raw = json.loads((package / "Manifest.json").read_text())
    (package / "Manifest.json").write_text(json.dumps({**raw, "rootModelIdentifier": "nothing"}))
    assert "'nothing'" in sentence(package)


def test_a_file_and_nothing(tmp_path: Path) -> None:
    (tmp_path / "file.mlpackage").write_text("x")
    assert "it is a file" in sentence(tmp_path / "file.mlpackage")
    assert "does not exist" in sentence(tmp_path / "nothing.mlpackage")


def _huge(model: object) -> None:
    value = constant(model, "y_weight_0")
    for part in (value.type, operation(model, "const").outputs[0].type):
        for dimension in part.tensorType.dimensions:
            dimension.constant.size = 1 << 40


def _deep(model: object) -> None:
    """A loop in a loop in a loop ..."""
    block = block_of(model)
    for _ in range(60):
        inner = block.operations.add(type="cond").blocks.add()
        block = inner


def _fill(model: object) -> None:
    """An operator that would make a tensor of 2^40 elements."""
    y = operation(model, "linear")
    y.type = "tile"
    y.inputs["reps"].arguments.add().value.CopyFrom(constant(model, "y_weight_0"))
    reps = y.inputs["reps"].arguments[0].value
    reps.Clear()
    reps.type.tensorType.dataType = 23
    reps.type.tensorType.rank = 1
    reps.type.tensorType.dimensions.add().constant.size = 2
    reps.immediateValue.tensor.ints.values.extend([1 << 20, 1 << 20])
    for name in ("weight", "bias"):
        y.inputs.pop(name, None)
    for dimension in y.outputs[0].type.tensorType.dimensions:
        dimension.unknown.SetInParent()


@pytest.mark.parametrize("edit", [_huge, _deep, _fill])
def test_huge_programs(package: Path, edit: Callable[[object], None]) -> None:
    model = read_model(package)
    edit(model)
    model_file(package).write_bytes(model.SerializeToString())
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(PackageError):
        Evaluator(read_package(package)).run({"x": X})
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000  # kilobytes


def test_an_input_of_text(package: Path) -> None:
    model = read_model(package)
    model.description.input[0].type.stringType.SetInParent()
    model_file(package).write_bytes(model.SerializeToString())
    with pytest.raises(PackageError, match="the input 'x' is a string, which ML programs do not take"):
        load(package)


def test_a_classifier_with_one_result(tmp_path: Path) -> None:
    path, _ = vision(tmp_path / "x.mlpackage")
    model = read_model(path)
    del operation(model, "classify").outputs[1]
    model_file(path).write_bytes(model.SerializeToString())
    assert any("label and probabilities are described as" in str(finding) for finding in check_package(path))


@pytest.mark.parametrize("which", [model_file, weight_file])
def test_every_cut_is_noticed(package: Path, which: Callable[[Path], Path]) -> None:
    """A file cut anywhere is refused, or at least does not crash: a cut may leave a whole program behind."""
    data = which(package).read_bytes()
    for size in [*range(0, min(len(data), 200), 7), *range(200, len(data), max(1, len(data) // 60))]:
        which(package).write_bytes(data[:size])
        assert refusal(package) or check_package(package), f"cut at {size} of {len(data)}"


@pytest.mark.parametrize("which", [model_file, weight_file])
def test_random_damage_never_crashes(package: Path, which: Callable[[Path], Path]) -> None:
    rng = random.Random(7)
    data = which(package).read_bytes()
    for _ in range(250):
        damaged = bytearray(data)
        for _ in range(rng.randrange(1, 4)):
            damaged[rng.randrange(len(damaged))] = rng.randrange(256)
        which(package).write_bytes(bytes(damaged))
        assert "\n" not in refusal(package)


def test_an_unreadable_file(package: Path) -> None:
    if os.geteuid() == 0:  # who may read everything
        weight_file(package).unlink()
    else:
        weight_file(package).chmod(0)
    with pytest.raises(PackageError):
        Evaluator(read_package(package)).run({"x": X})
