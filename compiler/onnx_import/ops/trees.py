"""Decision trees of ai.onnx.ml: every tree takes one step a level, all of them at once, through tables over nodes.

    at = roots                                                     [n, trees]
    at = where(x[feature[at]] <= split[at], yes[at], no[at])       as often as the deepest tree is deep; leaves stay
    y = sum over trees of weight[at]                               [n, targets]
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from typing import Any

import numpy as np

from edgec.ir.graph import Value
from edgec.onnx_import.items import Item
from edgec.onnx_import.node import Node, Table

Array = np.ndarray[Any, Any]
MODES = ("BRANCH_LEQ", "BRANCH_LT", "BRANCH_GTE", "BRANCH_GT", "BRANCH_EQ", "BRANCH_NEQ", "BRANCH_MEMBER")
COMPARE = ("le", "lt", "ge", "gt", "eq", "ne")
MEMBER = MODES.index("BRANCH_MEMBER")
AGGREGATES = ("AVERAGE", "SUM", "MIN", "MAX")
TRANSFORMS = ("NONE", "SOFTMAX", "LOGISTIC", "SOFTMAX_ZERO", "PROBIT")


@dataclass(frozen=True)
class Forest:
    """Tables over all nodes, leaves among them: the ways of a `leaf` both lead to itself. `mode` is an index of MODES,
    `tracks` says where a NaN takes the yes, `members` are sets of numbers, filled up with NaNs. `weight` is [nodes,
    targets], NaN where a leaf has no vote for a target."""

    roots: Array
    leaf: Array
    feature: Array
    split: Array
    mode: Array
    yes: Array
    no: Array
    tracks: Array
    members: Array
    weight: Array


def tree_ensemble(node: Node) -> list[Item]:
    """Since version 5: interior nodes and leaves are apart, and a leaf has one weight for one target."""
    x = node.value(0)
    splits, weights, modes = (_needed(node, name) for name in ("nodes_splits", "leaf_weights", "nodes_modes"))
    n, leaves = splits.size, weights.size
    targets = node.integer("n_targets", 1)
    names = ("nodes_featureids", "nodes_truenodeids", "nodes_falsenodeids", "nodes_trueleafs", "nodes_falseleafs")
    feature, yes, no, yes_leaf, no_leaf = (_lists(node, name, n) for name in names)
    target = _lists(node, "leaf_targetids", leaves)
    if modes.size != n:
        node.broken(f"has {modes.size} nodes_modes for {n} nodes_splits")
    _within(node, "a leaf's target", target, targets)
    node.room((n + leaves) * max(targets, 1))
    weight = np.full((n + leaves, targets), np.nan, weights.dtype)
    weight[n + np.arange(leaves), target] = weights.reshape(-1)
    itself = n + np.arange(leaves)
    ways = [np.concatenate([np.where(leaf != 0, n + at, at), itself]) for at, leaf in ((yes, yes_leaf), (no, no_leaf))]

    def with_leaves(given: Array) -> Array:
        return np.concatenate([given.reshape(-1), np.zeros(leaves, given.dtype)])

    tracks = _lists(node, "nodes_missing_value_tracks_true", n, optional=True) != 0
    forest = Forest(
        _roots(node, n), np.arange(n + leaves) >= n, with_leaves(feature), with_leaves(splits),
        with_leaves(modes.astype(np.int64)), ways[0], ways[1], with_leaves(tracks), _members(node, modes, n + leaves),
        weight,
    )  # fmt: skip
    aggregate, transform = node.integer("aggregate_function", 1), node.integer("post_transform", 0)
    if not 0 <= aggregate < len(AGGREGATES) or not 0 <= transform < len(TRANSFORMS):
        node.broken(f"has aggregate_function={aggregate} and post_transform={transform}; legal are 0 to 3 and 0 to 4")
    return [node.cast(grown(node, x, forest, AGGREGATES[aggregate], TRANSFORMS[transform], None), x.type.dtype)]


def regressor(node: Node) -> list[Item]:
    """TreeEnsembleRegressor: leaves are nodes, and votes name them by tree and node."""
    x, ids = node.value(0), node.integers("nodes_nodeids") or ()
    n, targets = len(ids), node.integer("n_targets", 1)
    names = ("nodes_treeids", "nodes_featureids", "nodes_truenodeids", "nodes_falsenodeids")
    trees, feature, yes, no = (_lists(node, name, n) for name in names)
    where = {key: i for i, key in enumerate(zip(trees.tolist(), ids, strict=True))}
    texts = node.texts("nodes_modes") or ()
    if len(where) != n or len(texts) != n or not set(texts) <= {*MODES[:MEMBER], "LEAF"}:
        node.broken(f"has nodes that repeat, or modes other than {', '.join(MODES[:MEMBER])} and LEAF, one a node")
    leaf = np.array([text == "LEAF" for text in texts], bool)

    def ways(given: Array) -> Array:
        found = [i if leaf[i] else where.get((t, g), -1) for i, (t, g) in enumerate(zip(trees, given, strict=True))]
        return np.array(found, np.int64)

    votes = _floats(node, "target_weights")
    of_tree, of_node, target = (_lists(node, f"target_{w}", votes.size) for w in ("treeids", "nodeids", "ids"))
    _within(node, "a vote's target", target, targets)
    places = np.array([where.get(key, -1) for key in zip(of_tree.tolist(), of_node.tolist(), strict=True)], np.int64)
    _within(node, "a vote's node", places, n)
    node.room(n * max(targets, 1))
    weight = np.full((n, targets), np.nan, votes.dtype)
    weight[places, target] = 0
    np.add.at(weight, (places, target), votes)
    roots = np.array([i for i, key in enumerate(zip(trees.tolist(), ids, strict=True)) if key[1] == 0], np.int64)
    mode = np.array([0 if text == "LEAF" else MODES.index(text) for text in texts], np.int64)
    tracks = _lists(node, "nodes_missing_value_tracks_true", n, optional=True) != 0
    splits = _floats(node, "nodes_values")
    if splits.size != n:
        node.broken(f"has {splits.size} nodes_values for {n} nodes")
    forest = Forest(roots, leaf, feature, splits, mode, ways(yes), ways(no), tracks, np.zeros((n, 0)), weight)
    base = _floats(node, "base_values")
    if base.size not in (0, targets):
        node.broken(f"has {base.size} base_values for {targets} targets")
    aggregate, transform = node.text("aggregate_function", "SUM"), node.text("post_transform", "NONE")
    if aggregate not in AGGREGATES or transform not in TRANSFORMS:
        node.broken(f"has aggregate_function='{aggregate}' and post_transform='{transform}'; legal are "
                    f"{', '.join(AGGREGATES)} and {', '.join(TRANSFORMS)}")  # fmt: skip
    if np.any(np.isnan(weight[leaf])) and (base.size or aggregate in ("MIN", "MAX")):
        # onnxruntime has 0 for a target without a vote, the standard says nothing
        node.refuse("has leaves without a vote for a target, and base_values or an aggregate of MIN or MAX; leaves "
                    "that vote for every target are supported")  # fmt: skip
    return [node.cast(grown(node, x, forest, aggregate, transform, base if base.size else None), "f32")]


def grown(node: Node, x: Value, forest: Forest, aggregate: str, transform: str, base: Array | None) -> Value:
    """What the trees say of rows [n, features]."""
    if len(node.shape(x)) != 2:
        node.broken(f"takes {x.type}; legal are rows of features, [n, features]")
    n, features = node.shape(x)
    dtype = "f64" if "f64" in (x.type.dtype, _name(forest.split)) else "f32"
    x = node.cast(x, dtype)
    count = len(forest.yes)
    _within(node, "a node's feature", forest.feature, features)
    for ways in (forest.yes, forest.no):
        _within(node, "a node's way", ways, count)
    if not len(forest.roots) or not forest.weight.shape[1]:
        node.broken("has no tree or no target")
    at = node.broadcast(node.constant(forest.roots[None]), (n, len(forest.roots)))
    for _ in range(_depth(node, forest)):
        yes, no = looked_up(node, forest.yes, at), looked_up(node, forest.no, at)
        at = node.op("where", taken(node, x, forest, at), yes, no)
    if aggregate in ("MIN", "MAX"):
        # a target that no leaf votes for keeps what the search for it begins with
        limits = np.finfo(np.float64 if dtype == "f64" else np.float32)
        start = limits.max if aggregate == "MIN" else limits.min
        votes = looked_up(node, np.where(np.isnan(forest.weight), start, forest.weight).astype(_numpy(dtype)), at)
        y = node.reduce(aggregate.lower(), votes, (1,))
    else:
        votes = looked_up(node, np.nan_to_num(forest.weight, nan=0.0).astype(_numpy(dtype)), at)
        y = node.reduce("mean" if aggregate == "AVERAGE" else "sum", votes, (1,))
    if base is not None:
        y = node.op("add", y, node.constant(base.astype(_numpy(dtype))))
    if transform == "SOFTMAX":
        return node.op("softmax", y, axis=1)
    if transform not in ("NONE", "LOGISTIC"):
        node.refuse(f"has post_transform='{transform}'; NONE, SOFTMAX and LOGISTIC are supported")
    return node.op("sigmoid", y) if transform == "LOGISTIC" else y


def taken(node: Node, x: Value, forest: Forest, at: Value) -> Value:
    """Whether each tree takes the yes of the node where it is."""
    inner = ~forest.leaf
    v = node.op("gather_elements", x, looked_up(node, forest.feature, at), axis=1)
    split = looked_up(node, forest.split.astype(v.type.numpy), at)
    used = np.unique(forest.mode[inner]).tolist() or [0]
    results = []
    for mode in used:
        if mode == MEMBER:
            sets = looked_up(node, forest.members.astype(v.type.numpy), at)
            each = node.op("eq", node.reshape(v, (*node.shape(v), 1)), sets)
            result = node.reduce("max", each, (2,))
        else:
            result = node.op(COMPARE[mode], v, split)
        mine = looked_up(node, forest.mode == mode, at)
        results.append(result if len(used) == 1 else node.op("and", result, mine))
    if np.any(forest.tracks[inner]):
        results.append(node.op("and", node.op("is_nan", v), looked_up(node, forest.tracks, at)))
    return reduce(lambda a, b: node.op("or", a, b), results)


def looked_up(node: Node, table: Array, at: Value) -> Value:
    """Rows of a table over nodes."""
    return node.op("gather", node.constant(table), at, axis=0)


def _depth(node: Node, forest: Forest) -> int:
    """Steps from a root to the farthest leaf. ModelError where ways go round in a circle."""
    at, steps = np.unique(forest.roots), 0
    while (at := at[~forest.leaf[at]]).size:
        at, steps = np.unique(np.concatenate([forest.yes[at], forest.no[at]])), steps + 1
        if steps > len(forest.yes):
            node.broken("has nodes whose ways go round in a circle")
        node.walk.count_node()
    return steps


def _within(node: Node, what: str, given: Array, count: int) -> None:
    if given.size and not 0 <= given.min() <= given.max() < count:
        node.broken(f"has {what} outside of [0, {count - 1}]")


def _lists(node: Node, name: str, count: int, optional: bool = False) -> Array:
    """An attribute of one integer a node."""
    given = node.integers(name)
    if given is None and optional:
        return np.zeros(count, np.int64)
    if given is None or len(given) != count:
        node.broken(f"has {len(given or ())} {name} where {count} are needed")
    return np.array(given, np.int64)


def _needed(node: Node, name: str) -> Array:
    found = node.tensor(name)
    if found is None:
        node.broken(f"needs the attribute '{name}'")
    return found


def _floats(node: Node, name: str) -> Array:
    """Floats, or doubles as a tensor."""
    tensor = node.tensor(f"{name}_as_tensor")
    return np.array(node.numbers(name) or (), np.float32) if tensor is None else tensor.reshape(-1)


def _roots(node: Node, count: int) -> Array:
    roots = np.array(node.integers("tree_roots") or (), np.int64)
    _within(node, "a root", roots, count)
    return roots


def _members(node: Node, modes: Array, count: int) -> Array:
    """A set of numbers for each node that asks for membership, in the order of nodes."""
    given = node.tensor("membership_values")
    flat = np.zeros(0, np.float32) if given is None else given.reshape(-1)
    sets = np.split(flat, np.flatnonzero(np.isnan(flat)) + 1)[:-1]
    asking = np.flatnonzero(modes.reshape(-1) == MEMBER)
    if len(sets) != len(asking) or np.any(modes > MEMBER):
        node.broken(f"has {len(sets)} sets of membership_values for {len(asking)} nodes, or modes beyond {MEMBER}")
    most = max((len(s) for s in sets), default=0)
    node.room(count * max(most, 1))
    table = np.full((count, most), np.nan, flat.dtype)
    for at, members in zip(asking, sets, strict=True):
        table[at, : len(members)] = members
    return table


def _name(array: Array) -> str:
    return "f64" if array.dtype == np.float64 else "f32"


def _numpy(dtype: str) -> np.dtype[Any]:
    return np.dtype(np.float64 if dtype == "f64" else np.float32)


def binarizer(node: Node) -> list[Item]:
    """1 where x > threshold, else 0, in x's type."""
    x = node.value(0)
    edge = node.constant(np.asarray(node.number("threshold", 0.0), np.float64))
    wide = x if x.type.dtype == "f64" else node.cast(x, "f64")
    return [node.cast(node.op("gt", wide, edge), x.type.dtype)]


TREES: Table = {
    "ai.onnx.ml.Binarizer": binarizer,
    "ai.onnx.ml.TreeEnsemble": tree_ensemble,
    "ai.onnx.ml.TreeEnsembleRegressor": regressor,
}
