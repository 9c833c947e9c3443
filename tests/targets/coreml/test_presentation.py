"""What a package says of itself: metadata, features, a classifier's labels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from coreml_package import opened, packaged
from network import Network

from edgec.ir.errors import UnsupportedError, UsageError
from edgec.ir.types import Type
from edgec.runtime.coreml.check import check_package
from edgec.targets.apple.metadata import Metadata, metadata_of

LABELS = ("cat", "dog", "Wölfe")


def net(classes: int = 3) -> Network:
    net = Network(3)
    probabilities = net.build.op("softmax", net.floats(1, classes), axis=1)
    net.named("prob:0", probabilities)
    net.named("twice", net.build.op("add", probabilities, probabilities))
    return net


def test_metadata(tmp_path: Path) -> None:
    given = {"author": "Ada", "license": "MIT", "version": "1.2", "description": "a test", "team": "x"}
    metadata = metadata_of(given, {"edgec.version": "7", "edgec.model.sha256": "00ff"})
    _, package = packaged(net().graph.module, tmp_path, metadata=metadata)
    assert opened(package).package.description.metadata == {
        "author": "Ada", "license": "MIT", "versionString": "1.2", "shortDescription": "a test", "team": "x",
        "edgec.version": "7", "edgec.model.sha256": "00ff",
    }  # fmt: skip
    outputs = {f.name: f.text for f in opened(package).interface.outputs}
    assert outputs["prob_0"] == "'prob:0' of the model, f32[1, 3]"


def test_keys_of_edgec_cannot_be_given() -> None:
    with pytest.raises(UsageError, match=r"edgec\.version=…"):
        metadata_of({"edgec.version": "8"}, {})


@pytest.mark.parametrize("name", ["ios15", "ios18"])
@pytest.mark.parametrize("halves", [False, True])
def test_classifier(name: str, halves: bool, tmp_path: Path) -> None:
    made = net()
    emitted, package = packaged(made.graph.module, tmp_path, name, halves, labels=LABELS, metadata=Metadata())
    evaluator = opened(package)
    assert (evaluator.interface.predicted, evaluator.interface.probabilities) == ("classLabel", "classLabel_probs")
    assert [str(f.type) for f in evaluator.interface.outputs[:2]] == ["string", "dictionary from string to double"]
    found = evaluator.run({"x0": made.feeds["x0"]})
    right = made.expected()
    rounding = {"rtol": 1e-2 if halves else 1e-5}
    assert list(found["classLabel_probs"]) == list(LABELS)
    np.testing.assert_allclose(list(found["classLabel_probs"].values()), right["prob:0"][0], **rounding)
    assert found["classLabel"] == LABELS[int(np.argmax(right["prob:0"]))]
    np.testing.assert_allclose(found["twice"], right["twice"], **rounding)
    assert emitted.outputs[0].feature == "classLabel_probs"


def test_labels_that_do_not_fit(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"'prob:0' is f32\[1, 4\].* one float for each of its 3 labels"):
        packaged(net(4).graph.module, tmp_path, labels=LABELS)
    with pytest.raises(UsageError, match="'dog' stands in lines 2 and 3"):
        packaged(net().graph.module, tmp_path, labels=("cat", "dog", "dog"))
    taken = net()
    taken.named("classLabel", taken.graph.outputs[1][1])
    with pytest.raises(UsageError, match="has a 'classLabel' of its own"):
        packaged(taken.graph.module, tmp_path, labels=LABELS)


def test_names_that_meet(tmp_path: Path) -> None:
    """An input and outputs whose names are one when written in letters, digits and _."""
    made = Network(3)
    x = made.floats(2, 2)
    x.name = "a/b"
    made.named("a.b", made.build.op("relu", x))
    made.named("0", made.build.op("tanh", x))
    emitted, package = packaged(made.graph.module, tmp_path)
    assert [f.feature for f in (*emitted.inputs, *emitted.outputs)] == ["a_b", "a_b_1", "_0"]
    array = np.array([[-1.0, 2.0], [0.5, -3.0]], np.float32)
    found = opened(package).run({"a_b": array})
    np.testing.assert_array_equal(found["a_b_1"], np.maximum(array, 0))


def test_all_features_that_cannot_be_are_named(tmp_path: Path) -> None:
    made = Network(3)
    made.named("y", made.build.op("relu", made.floats(1, 1, 1, 1, 2, 2)))
    made.floats(2, dtype="f64")
    with pytest.raises(UnsupportedError) as raised:
        packaged(made.graph.module, tmp_path)
    assert [r.split(" ", 2)[:2] for r in raised.value.reasons] == [
        ["input", "'x0'"], ["input", "'x1'"], ["output", "'y'"],
    ]  # fmt: skip


@pytest.mark.parametrize("halves", [False, True])
def test_features_with_names_of_variables_inside(halves: bool, tmp_path: Path) -> None:
    """Operators are relu_0 and their constants reduce_sum_0_axes_0 inside; a model may have such names of its own."""
    net = Network(3)
    x = net.graph.add_input("relu_0", Type("f32", (2, 3)))
    net.feeds["relu_0"] = net.rng.standard_normal((2, 3)).astype(np.float16).astype(np.float32)
    relu = net.build.op("relu", x)
    net.named("identity_0", net.build.op("neg", relu))
    net.named("reduce_sum_0_axes_0", net.build.op("reduce_sum", relu, axes=(1,), keepdims=False))
    net.named("cast_1", net.build.op("add", x, relu))
    _, package = packaged(net.graph.module, tmp_path, halves=halves)
    assert not check_package(package)
    found = opened(package).run(net.feeds)
    for name, right in net.expected().items():
        np.testing.assert_allclose(found[name], right, rtol=2e-3 if halves else 1e-6, err_msg=name)
