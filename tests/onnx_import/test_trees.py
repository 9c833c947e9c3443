"""Trees of ai.onnx.ml, grown at random, against onnxruntime."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import edgec
from edgec.ir import interp
from edgec.ir.errors import ModelError, UnsupportedError
from edgec.onnx_import.importer import import_model
from edgec.onnx_import.ops.trees import MEMBER
from edgec.reference import Reference

OPSETS = [helper.make_opsetid("", 21), helper.make_opsetid("ai.onnx.ml", 5)]
FEATURES, TARGETS = 4, 3


def written(node: Any, folder: Path, dtype: int = TensorProto.FLOAT, domain: int = 5) -> Path:
    ports = [helper.make_tensor_value_info("x", dtype, [20, FEATURES]), helper.make_tensor_value_info("y", dtype, None)]
    opsets = [OPSETS[0], helper.make_opsetid("ai.onnx.ml", domain)]
    graph = helper.make_graph([node], "g", ports[:1], ports[1:])
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=10), folder / "m.onnx")
    return folder / "m.onnx"


def samples(dtype: type = np.float32) -> np.ndarray:
    """Halves, so that some meet a split exactly, and NaNs."""
    rng = np.random.default_rng(2)
    x = rng.integers(-4, 5, (20, FEATURES)) / 2
    x[rng.random(x.shape) < 0.1] = np.nan
    return x.astype(dtype)


def grown(modes: list[int], seed: int = 0) -> dict[str, Any]:
    """Attributes of a TreeEnsemble of three trees of depth 3 and one of depth 1, whose modes are among these."""
    rng = np.random.default_rng(seed)
    nodes: list[list[int]] = []  # yes, yes is a leaf, no, no is a leaf
    roots, leaves = [], 0
    for depth in (3, 3, 3, 1):
        first = len(nodes)
        roots.append(first)
        inner = (1 << depth) - 1
        for i in range(inner):
            ways = []
            for child in (2 * i + 1, 2 * i + 2):
                leaf = child >= inner
                ways += [leaves if leaf else first + child, int(leaf)]
                leaves += leaf
            nodes.append(ways)
    n, table = len(nodes), np.array(nodes)
    chosen = rng.choice(modes, n).astype(np.uint8)
    made: dict[str, Any] = {
        "n_targets": TARGETS, "tree_roots": roots, "nodes_featureids": rng.integers(0, FEATURES, n).tolist(),
        "nodes_truenodeids": table[:, 0].tolist(), "nodes_trueleafs": table[:, 1].tolist(),
        "nodes_falsenodeids": table[:, 2].tolist(), "nodes_falseleafs": table[:, 3].tolist(),
        "nodes_modes": numpy_helper.from_array(chosen), "leaf_targetids": rng.integers(0, TARGETS, leaves).tolist(),
        "nodes_splits": numpy_helper.from_array((rng.integers(-4, 5, n) / 2).astype(np.float32)),
        "nodes_missing_value_tracks_true": rng.integers(0, 2, n).tolist(),
        "leaf_weights": numpy_helper.from_array(rng.standard_normal(leaves).astype(np.float32)),
    }  # fmt: skip
    if MEMBER in modes:
        sets = [[*rng.integers(-4, 5, 3) / 2, np.nan] for _ in range(np.count_nonzero(chosen == MEMBER))]
        made["membership_values"] = numpy_helper.from_array(np.array(sets, np.float32).reshape(-1))
    return made


def ensemble(**attributes: Any) -> Any:
    return helper.make_node("TreeEnsemble", ["x"], ["y"], domain="ai.onnx.ml", **attributes)


@pytest.mark.parametrize("modes", [[0], [1, 3], [0, 2, 4, 5]], ids=str)
@pytest.mark.parametrize("aggregate", [0, 1])
def test_ensembles(modes: list[int], aggregate: int, tmp_path: Path) -> None:
    path = written(ensemble(**grown(modes), aggregate_function=aggregate), tmp_path)
    right = Reference(path, {}).run({"x": samples()})["y"]
    found = interp.run(import_model(path).entries["main"], {"x": samples()})["y"]
    np.testing.assert_allclose(found, right, rtol=1e-6, atol=1e-6)
    assert len(np.unique(found)) > 10


def walked(attributes: dict[str, Any], row: np.ndarray, root: int) -> int:
    """The leaf that a row falls into, by the words of the standard."""
    splits, modes = (numpy_helper.to_array(attributes[f"nodes_{n}"]) for n in ("splits", "modes"))
    sets = iter(np.split(values := numpy_helper.to_array(attributes["membership_values"]),
                         np.flatnonzero(np.isnan(values)) + 1))  # fmt: skip
    members = {i: set(next(sets).tolist()) for i in np.flatnonzero(modes == MEMBER)}
    at, leaf = root, False
    while not leaf:
        v = row[attributes["nodes_featureids"][at]]
        yes = float(v) in members[at] if modes[at] == MEMBER else bool(v <= splits[at])
        yes = bool(attributes["nodes_missing_value_tracks_true"][at]) if np.isnan(v) else yes
        way = "true" if yes else "false"
        leaf, at = bool(attributes[f"nodes_{way}leafs"][at]), attributes[f"nodes_{way}nodeids"][at]
    return at


@pytest.mark.parametrize("aggregate", [1, 2, 3])
def test_membership_and_extremes(aggregate: int, tmp_path: Path) -> None:
    attributes = grown([0, MEMBER])
    path = written(ensemble(**attributes, aggregate_function=aggregate), tmp_path)
    found = interp.run(import_model(path).entries["main"], {"x": samples()})["y"]
    weights = numpy_helper.to_array(attributes["leaf_weights"])
    limits = np.finfo(np.float32)
    start, step = {1: (0, np.add), 2: (limits.max, np.minimum), 3: (limits.min, np.maximum)}[aggregate]
    for row, y in zip(samples(), found, strict=True):
        expected = np.full(TARGETS, start, np.float32)
        for root in attributes["tree_roots"]:
            leaf = walked(attributes, row, root)
            target = attributes["leaf_targetids"][leaf]
            expected[target] = step(expected[target], weights[leaf])
        np.testing.assert_allclose(y, expected, rtol=1e-6)


def regression(share: float = 1.0, **changes: Any) -> Any:
    """Two trees of depth 2, leaves that vote for a share of the targets."""
    rng = np.random.default_rng(4)
    modes = ["BRANCH_LEQ", "BRANCH_GT", "BRANCH_LT", *["LEAF"] * 4]
    votes = [(t, i, k) for t in (0, 1) for i in range(3, 7) for k in range(TARGETS) if rng.random() < share]
    made = {
        "n_targets": TARGETS, "nodes_treeids": [0] * 7 + [1] * 7, "nodes_nodeids": list(range(7)) * 2,
        "nodes_modes": modes * 2, "nodes_featureids": [0, 1, 2, 0, 0, 0, 0, 3, 2, 1, 0, 0, 0, 0],
        "nodes_truenodeids": [1, 3, 5, 0, 0, 0, 0] * 2, "nodes_falsenodeids": [2, 4, 6, 0, 0, 0, 0] * 2,
        "nodes_values": [0.5, -1.0, 0.0, 0.0, 0.0, 0.0, 0.0] * 2, "base_values": [1.0, -2.0, 3.0],
        "target_treeids": [v[0] for v in votes], "target_nodeids": [v[1] for v in votes],
        "target_ids": [v[2] for v in votes], "target_weights": rng.standard_normal(len(votes)).tolist(),
    }  # fmt: skip
    return helper.make_node("TreeEnsembleRegressor", ["x"], ["y"], domain="ai.onnx.ml", **{**made, **changes})


@pytest.mark.parametrize(("aggregate", "changes"), [
    ("SUM", {}), ("AVERAGE", {}), ("MIN", {}), ("MAX", {}), ("SUM", {"share": 0.7, "base_values": None}),
    ("SUM", {"post_transform": "SOFTMAX"}), ("SUM", {"post_transform": "LOGISTIC"}),
])  # fmt: skip
def test_regressors(aggregate: str, changes: dict[str, Any], tmp_path: Path) -> None:
    path = written(regression(aggregate_function=aggregate, **changes), tmp_path, domain=3)
    right = Reference(path, {}).run({"x": samples()})["y"]
    found = interp.run(import_model(path).entries["main"], {"x": samples()})["y"]
    np.testing.assert_allclose(found, right, rtol=1e-6, atol=1e-6)


def test_built(tmp_path: Path) -> None:
    receipt = edgec.compile(written(regression(), tmp_path, domain=3), "host", tmp_path / "out")
    assert receipt["verification"]["pass"]
    assert receipt["verification"]["reference"].startswith("onnxruntime")


def test_broken_trees(tmp_path: Path) -> None:
    sound = grown([0])
    circle = {**sound, "nodes_truenodeids": [0, *sound["nodes_truenodeids"][1:]]}
    far = {**sound, "nodes_featureids": [FEATURES, *sound["nodes_featureids"][1:]]}
    short = {**sound, "nodes_trueleafs": sound["nodes_trueleafs"][1:]}
    for attributes, sentence in (
        (circle, "has nodes whose ways go round in a circle"),
        (far, r"has a node's feature outside of \[0, 3\]"),
        (short, "has 21 nodes_trueleafs where 22 are needed"),
        (grown([MEMBER]) | {"nodes_modes": sound["nodes_modes"]}, "has 22 sets of membership_values for 0 nodes"),
    ):
        with pytest.raises(ModelError, match=f"TreeEnsemble 'y' {sentence}"):
            import_model(written(ensemble(**attributes), tmp_path))
    with pytest.raises(ModelError, match="has a node's way outside"):
        import_model(written(regression(nodes_truenodeids=[9] * 14), tmp_path, domain=3))
    with pytest.raises(UnsupportedError, match="has leaves without a vote for a target, and base_values"):
        import_model(written(regression(0.7), tmp_path, domain=3))
    with pytest.raises(UnsupportedError, match="post_transform='PROBIT'; NONE, SOFTMAX and LOGISTIC are supported"):
        import_model(written(regression(post_transform="PROBIT"), tmp_path, domain=3))


