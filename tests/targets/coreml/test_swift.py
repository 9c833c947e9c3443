"""The generated Swift: it parses, says what the interface has, and its golden file holds what the test names."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import tree_sitter
import tree_sitter_swift

from edgec.targets.apple.features import Feature, Interface
from edgec.targets.apple.labels import Classifier
from edgec.targets.apple.sizes import Enumerated
from edgec.targets.apple.swift_names import KEYWORDS, type_name, value_name
from edgec.targets.coreml.deployment import choose
from edgec.targets.coreml.swift import wrapper
from edgec.targets.coreml.swift_golden import Call, Golden, golden_files

IOS18 = choose("ios18")
SWIFT = tree_sitter.Language(tree_sitter_swift.language())


def nodes(text: str, kind: str) -> list[str]:
    """Texts of all parts of a kind. AssertionError where the text is no Swift."""

    def walk(node: Any) -> Iterator[Any]:
        assert not node.is_error, node.text
        assert not node.is_missing, node.parent.text
        yield node
        for child in node.children:
            yield from walk(child)

    tree = tree_sitter.Parser(SWIFT).parse(text.encode())
    return [node.text.decode() for node in walk(tree.root_node) if node.type == kind]


def feature(name: str, stored: str, *shape: int, color: str = "") -> Feature:
    return Feature(name, name, stored, stored, shape, color)


EVERYTHING = Interface(
    "main",
    (feature("in", "f32", 1, 3), feature("state", "i32", 2), feature("photo", "f32", 1, 3, 2, 2, color="rgb"),
     feature("half", "f16", 2)),
    (replace(feature("prob", "f32", 1, 2), feature="classLabel_probs"), feature("class", "f32", 3),
     feature("self", "i32", 3)),
    (feature("cache", "f16", 2, 2),),
    Classifier(("cat", "dog"), "prob"),
)  # fmt: skip
PLAIN = Interface("main", (feature("x", "f32", 1, 3),), (feature("y", "f32", 2),))


def test_a_wrapper_of_everything() -> None:
    text = wrapper("my_net", [EVERYTHING], IOS18, "edgec 1")
    assert "public final class MyNetModel {" in text
    assert "@available(iOS 18.0, macOS 15.0, *)" in text
    takes = [p for p in nodes(text, "parameter") if not p.startswith("_")]
    assert takes[-5:] == [
        "`in`: MLShapedArray<Float>", "state_: MLShapedArray<Int32>", "photo: CVPixelBuffer", "half: MLMultiArray",
        "using state: MLState",
    ]  # fmt: skip
    assert re.findall(r"public let (\S+): (.+)", text)[:4] == [
        ("classLabel", "String"), ("classLabel_probs", "[String: Double]"), ("`class`", "MLShapedArray<Float>"),
        ("self_", "MLShapedArray<Int32>"),
    ]  # fmt: skip
    assert '"state": MLFeatureValue(shapedArray: state_),' in text
    assert '"photo": MLFeatureValue(pixelBuffer: photo),' in text
    assert 'self_: try Self.array("self", made)' in text
    assert "model.prediction(from: features, using: state)" in text


def test_a_wrapper_says_no_more_than_there_is() -> None:
    text = wrapper("net", [PLAIN], choose("ios15"), "edgec 1")
    nodes(text, "parameter")
    for absent in ("MLState", "CVPixelBuffer", "CoreVideo", "functionName", "stringValue", "MLMultiArray"):
        assert absent not in text
    assert "@available(iOS 15.0, macOS 12.0, *)" in text


def test_functions_are_classes() -> None:
    text = wrapper("net", [replace(PLAIN, function="decode"), replace(PLAIN, function="prefill")], IOS18, "edgec 1")
    assert re.findall(r"final class (\w+)", text) == ["NetDecodeModel", "NetPrefillModel"]
    assert re.findall(r'functionName = "(\w+)"', text) == ["decode", "prefill"]
    nodes(text, "class_declaration")


def test_shapes_are_in_comments() -> None:
    sizes = Enumerated(((1, 3), (2, 3)))
    text = wrapper("net", [replace(PLAIN, inputs=(replace(PLAIN.inputs[0], sizes=sizes),))], IOS18, "edgec 1")
    assert "/// - x: x: f32 [1, 3], or another of its shapes" in text


def calls() -> list[Call]:
    rng = np.random.default_rng(3)
    return [
        Call(
            {"in": rng.standard_normal((1, 3)).astype(np.float32), "state": rng.integers(-5, 5, 2),
             "photo": rng.integers(0, 256, (1, 2, 2, 3)).astype(np.uint8), "half": np.array([0.5, -2], np.float16)},
            {"prob": rng.random((1, 2)).astype(np.float32), "class": rng.random(3).astype(np.float32),
             "self": rng.integers(-9, 9, 3)},
        )
        for _ in range(2)
    ]  # fmt: skip


def test_the_golden_file_holds_what_the_test_names() -> None:
    made = calls()
    files = golden_files("my_net", [EVERYTHING], {"main": Golden(made, 2e-3)}, IOS18, "edgec 1")
    text, blob = files["MyNetModelTests.swift"].decode(), files["MyNetGolden.bin"]
    nodes(text, "call_expression")
    assert 'forResource: "MyNetGolden"' in text
    assert text.count("model.prediction(") == 2
    assert text.count("let state = model.makeState()") == 1
    for number, call in enumerate(made, start=1):
        line = next(row for row in text.splitlines() if f"output{number} = " in row)
        at = dict(re.findall(r"(\w+)`?: try \w+\((\d+)", line))
        np.testing.assert_array_equal(np.frombuffer(blob, "<f4", 3, int(at["in"])), call.feeds["in"].ravel())
        np.testing.assert_array_equal(np.frombuffer(blob, "<i4", 2, int(at["state_"])), call.feeds["state"])
        np.testing.assert_array_equal(np.frombuffer(blob, "<f4", 2, int(at["half"])), call.feeds["half"])
        np.testing.assert_array_equal(np.frombuffer(blob, "u1", 12, int(at["photo"])), call.feeds["photo"].ravel())
        rows = re.findall(rf"scalars\((\d+), \d+, as: (\w+)\.self\), .*of call {number}", text)
        assert [kind for _, kind in rows] == ["Float", "Float", "Int32"]
        np.testing.assert_array_equal(np.frombuffer(blob, "<f4", 2, int(rows[0][0])), call.outputs["prob"][0])
        np.testing.assert_array_equal(np.frombuffer(blob, "<i4", 3, int(rows[2][0])), call.outputs["self"])
    assert text.count("tolerance: 0.002") == 4


@pytest.mark.parametrize("word", sorted(KEYWORDS))
def test_keywords_become_names(word: str) -> None:
    name = value_name(word, set())
    assert nodes(f"struct S {{ let {name}: Int }}\n", "property_declaration") == [f"let {name}: Int"]


def test_names_stay_apart() -> None:
    taken = {"state"}
    assert [value_name(n, taken) for n in ("state", "state_", "a.b", "a b", "0", "_")] == [
        "state_", "state__", "a_b", "a_b_", "_0", "__",
    ]  # fmt: skip
    assert [type_name(n) for n in ("mobile-net v2", "3d", "…")] == ["MobileNetV2", "M3d", "Model"]
