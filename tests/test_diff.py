"""`edgec diff`: alike or not, the layer and channel, and what is refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper
from quantised import made, written
from test_build import command
from test_cli import fails

import edgec
from edgec.artifact import MANIFEST, sha256, to_json
from edgec.diff import Row, _row
from edgec.diff_facts import Fact
from edgec.ir.origin import Origin, Scaled
from edgec.layer_pairs import Laid, pairs_of
from edgec.layer_values import LayerValue
from edgec.plan_facts import FILE as PLAN

SECOND = "conv Conv 'second'"


def network() -> onnx.ModelProto:
    """Three convolutions, the third with an addition that floats fuse and bytes do not; a pool and a product."""
    rng = np.random.default_rng(7)
    arrays = {
        "w1": rng.standard_normal((8, 3, 3, 3)) / 4, "b1": rng.standard_normal(8) / 9,
        "w2": rng.standard_normal((8, 8, 3, 3)) / 6, "b2": rng.standard_normal(8) / 9,
        "w3": rng.standard_normal((8, 8, 1, 1)) / 2, "w4": rng.standard_normal((8, 5)),
    }  # fmt: skip
    nodes = [
        helper.make_node("Conv", ["x", "w1", "b1"], ["a"], name="first", pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["a"], ["r"]),
        helper.make_node("Conv", ["r", "w2", "b2"], ["b"], name="second", pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["b"], ["s"]),
        helper.make_node("Conv", ["s", "w3"], ["c"], name="third"),
        helper.make_node("Add", ["c", "r"], ["t"], name="sum"),
        helper.make_node("GlobalAveragePool", ["t"], ["p"], name="pool"),
        helper.make_node("Flatten", ["p"], ["f"]),
        helper.make_node("MatMul", ["f", "w4"], ["y"], name="product"),
    ]
    return made(nodes, {n: a.astype(np.float32) for n, a in arrays.items()}, {"x": (1, 3, 12, 10)}, {"y": 1}, opset=17)


def changed(model: onnx.ModelProto, name: str, at: tuple[int, ...], value: Any) -> onnx.ModelProto:
    """The model with one number of a constant set."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    (tensor,) = [t for t in copy.graph.initializer if t.name == name]
    array = numpy_helper.to_array(tensor).copy()
    array[at] = value
    tensor.CopyFrom(numpy_helper.from_array(array, name))
    return copy


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Artifacts of the network: in floats, with a damaged weight, and on bytes for two targets."""
    at = tmp_path_factory.mktemp("diff")
    whole, damaged = written(network(), at), written(changed(network(), "w2", (5, 2, 1, 1), 3.0), at, "damaged")
    edgec.compile(whole, "host", at / "float", name="m")
    edgec.compile(damaged, "host", at / "damaged", name="m")
    rng = np.random.default_rng(0)
    np.savez(at / "calib.npz", x=rng.standard_normal((8, 3, 12, 10)).astype(np.float32))
    for target in ("host", "arm:cortex-a76"):
        edgec.compile(whole, target, at / f"int8-{target[:3]}", precision="int8", calib=str(at / "calib.npz"), name="m",
                      force=True)  # fmt: skip
    return at


def differing(folder: Path, first: str, second: str, *more: str) -> tuple[int, str, dict[str, Any]]:
    """The exit code, what is printed, and the figures."""
    done = command("diff", first, second, "--json", "found.json", *more, cwd=folder)
    assert done.returncode in (0, 1), done.stderr
    return done.returncode, done.stdout, json.loads((folder / "found.json").read_text())


def test_an_artifact_is_like_itself(folder: Path) -> None:
    code, said, found = differing(folder, "float", "float")
    assert code == 0
    assert f"alike: {len(found['layers'])} layers and outputs, bit by bit" in said
    assert found["alike"]
    assert found["facts"] == []
    assert [row["tensor"] for row in found["layers"]] == [None, "r", "s", "t", "p", "y", None]
    assert {row["largest"] for row in found["layers"]} == {0.0}


def test_a_damaged_weight_is_found(folder: Path) -> None:
    code, said, found = differing(folder, "float", "damaged")
    assert code == 1
    assert f"they part first at {SECOND} (tensor 's'), channel 5, it alone of 8\n" in said
    first = found["first"]
    assert (first["op"], first["beyond"], first["channel"]) == (SECOND, [5], 5)
    assert [row["tensor"] for row in found["layers"] if row["beyond"]] == ["s", "t", "p", "y", None]
    assert found["layers"][1]["signal_to_noise_db"] is None
    names = {fact["name"] for fact in found["facts"]}
    assert names == {"model", "sha256 of model", "sha256 of weights"}
    # the figures are those of the two outputs
    with edgec.load(folder / "float") as a, edgec.load(folder / "damaged") as b:
        x = np.random.default_rng(0).standard_normal((1, 3, 12, 10)).astype(np.float32)
        ours, theirs = (s.run(None, {"x": x})[0].astype(np.float64) for s in (a, b))
    output = found["layers"][-1]
    assert output["op"] == "output y"
    assert output["largest"] == np.abs(ours - theirs).max() > 0
    assert output["share"] == pytest.approx(np.abs(ours - theirs).max() / np.abs(theirs).max())
    assert output["channel"] == np.abs(ours - theirs).argmax()
    level = 10 * np.log10((theirs**2).sum() / ((ours - theirs) ** 2).sum())
    assert output["signal_to_noise_db"] == pytest.approx(level)


def test_the_same_integers_on_two_machines(folder: Path) -> None:
    code, said, found = differing(folder, "int8-arm", "int8-hos")
    assert code == 0
    assert "layers and outputs, bit by bit" in said
    kinds = {tuple(row["kinds"]) for row in found["layers"]}
    assert ("i8", "u8") in kinds
    facts = {fact["name"]: (fact["first"], fact["second"]) for fact in found["facts"]}
    assert facts["target"] == ("arm:cortex-a76", "host")
    assert "instructions" in facts
    assert "precision" not in facts


def test_bytes_against_floats(folder: Path) -> None:
    """Ranges of channels were made alike, and it is the same network."""
    plan = json.loads((folder / "int8-hos" / PLAN).read_text())
    assert max(len(layer["scale"] or ()) for layer in plan["layers"]) == 8
    code, said, found = differing(folder, "int8-hos", "float")
    assert code == 0, said
    assert "alike within the tolerance" in said
    assert [row["tensor"] for row in found["layers"]] == [None, "r", "s", "t", "p", "y", None]
    assert all(15 < row["signal_to_noise_db"] < 70 for row in found["layers"][1:])
    assert [row["op"] for row in found["layers"]][3] == "qconv Conv 'third'"
    assert Fact("precision", "int8", "float32").__dict__ in found["facts"]
    code, said, found = differing(folder, "int8-hos", "float", "--tolerance", "0.01%")
    assert code == 1
    assert "they part first at qconv Conv 'first' (tensor 'r'), channel 0, the first of 8 of 8: 0, 1, 2" in said


def test_bytes_of_two_calibrations(folder: Path) -> None:
    """Grids differ from the first layer on, so that floats which are made of them at the end are no nearer."""
    with np.load(folder / "calib.npz") as arrays:
        np.savez(folder / "wider.npz", x=arrays["x"] * np.float32(1.25))
    edgec.compile(folder / "model.onnx", "host", folder / "wider", precision="int8", calib=str(folder / "wider.npz"),
                  name="m", force=True, observer="minmax")  # fmt: skip
    code, said, found = differing(folder, "int8-hos", "wider")
    assert code == 0, said
    output = found["layers"][-1]
    assert output["op"] == "output y"
    assert 1e-4 < output["share"] < 0.05
    damaged = written(changed(network(), "w2", (5, 2, 1, 1), 3.0), folder, "damaged")
    edgec.compile(damaged, "host", folder / "wider", precision="int8", calib=str(folder / "wider.npz"), name="m",
                  force=True, observer="minmax")  # fmt: skip
    code, said, found = differing(folder, "int8-hos", "wider")
    assert code == 1
    assert found["first"]["channel"] == 5


def test_the_input_may_be_given(folder: Path) -> None:
    np.save(folder / "zeros.npy", np.zeros((1, 3, 12, 10), np.float32))
    _, _, zeros = differing(folder, "float", "damaged", "--input", "zeros.npy")
    _, _, seeded = differing(folder, "float", "damaged", "--seed", "3", "--range", "x=0:1")
    _, _, golden = differing(folder, "int8-hos", "damaged", "--tolerance", "0.001%")
    _, _, again = differing(folder, "damaged", "int8-hos", "--tolerance", "0.001%")
    largest = [f["layers"][-1]["largest"] for f in (zeros, seeded, golden, again)]
    assert largest[2] == largest[3]
    assert len(set(largest)) == 3


def quantised(weight: int) -> onnx.ModelProto:
    """Two products of bytes with scales of their own."""
    rng = np.random.default_rng(3)
    scales = {"sx": 0.03, "sw": 0.02, "sa": 0.05, "sv": 0.01}
    zeros = {"zx": np.uint8(120), "zw": np.int8(0), "za": np.uint8(128)}
    w, v = (rng.integers(-90, 90, dims).astype(np.int8) for dims in ((6, 7), (7, 4)))
    v[1, 2] = weight
    w[:, 1] += 1  # the row that the weight multiplies is not 0
    dequantized = [("wq", "sw", "zw", "wf"), ("vq", "sv", "zw", "vf")]
    nodes = [helper.make_node("DequantizeLinear", list(given[:3]), [given[3]]) for given in dequantized]
    x = "x"
    for scale, zero, weights, out in (("sx", "zx", "wf", "a"), ("sa", "za", "vf", "y")):
        nodes += [helper.make_node("QuantizeLinear", [x, scale, zero], [f"q{out}"], name=f"to {out}"),
                  helper.make_node("DequantizeLinear", [f"q{out}", scale, zero], [f"{out}d"]),
                  helper.make_node("MatMul", [f"{out}d", weights], [out], name=f"times {out}")]  # fmt: skip
        x = out
    nodes += [helper.make_node("QuantizeLinear", ["y", "sa", "za"], ["yq"]),
              helper.make_node("DequantizeLinear", ["yq", "sa", "za"], ["z"])]  # fmt: skip
    constants = {**{n: np.float32(s) for n, s in scales.items()}, **zeros, "wq": w, "vq": v}
    return made(nodes, constants, {"x": (3, 6)}, {"z": 1})


def test_steps_of_a_model_that_is_quantised_already(tmp_path: Path) -> None:
    for name, weight in (("one", 10), ("two", 60)):
        edgec.compile(written(quantised(weight), tmp_path, name), "host", tmp_path / name, name="m")
    edgec.compile(written(quantised(10), tmp_path), "arm", tmp_path / "arm", name="m")
    code, said, found = differing(tmp_path, "one", "two")
    assert code == 1
    first = found["first"]
    assert "'times y'" in first["op"]
    assert first["beyond"] == [2]
    assert first["steps"] > 1
    assert first["largest"] == pytest.approx(first["steps"] * 0.05)
    assert f"by {first['steps']} steps of a byte" in said
    code, _, found = differing(tmp_path, "one", "arm")
    assert code == 0
    assert {row["largest"] for row in found["layers"]} == {0.0}


def copied(folder: Path, to: Path, file: str, content: bytes) -> Path:
    """The artifact with another file in it that its manifest stands for."""
    shutil.copytree(folder, to)
    (to / file).write_bytes(content)
    manifest = json.loads((to / MANIFEST).read_text())
    manifest["files"][file] = sha256(content)
    (to / MANIFEST).write_bytes(to_json(manifest))
    return to


def test_other_weights_beside_the_library(folder: Path, tmp_path: Path) -> None:
    """Layers are those of the source that ships, and it is said where that is not what the library was made of."""
    weights = (folder / "float" / "m_weights.bin").read_bytes()
    bias = np.float32(numpy_helper.to_array(network().graph.initializer[1])[6])
    assert weights.count(bias.tobytes()) == 1
    other = copied(folder / "float", tmp_path / "other", "m_weights.bin",
                   weights.replace(bias.tobytes(), np.float32(bias + 1).tobytes()))  # fmt: skip
    code, said, found = differing(folder, str(other), "float")
    assert code == 1
    assert "they part first at conv Conv 'first' (tensor 'r'), channel 6, it alone of 8" in said
    assert f"note: the source of {other}, compiled again, gives other outputs than its library" in said
    assert found["layers"][-1]["largest"] == 0.0
    assert len(found["notes"]) == 1


def test_refusals(folder: Path, tmp_path: Path) -> None:
    wide = network()
    wide.graph.input[0].type.tensor_type.shape.dim[3].dim_value = 11
    edgec.compile(written(wide, tmp_path), "host", tmp_path / "wide", verify="none")
    renamed = network()
    for node in renamed.graph.node:
        node.name += " of another"
        for names in (node.input, node.output):
            for i, name in enumerate(names):
                names[i] = name if name in ("x", "y") or (name[0] in "wb" and name[1:].isdigit()) else f"{name}_other"
    edgec.compile(written(renamed, tmp_path, "renamed"), "host", tmp_path / "renamed", verify="none")
    plan = json.loads((folder / "float" / PLAN).read_text())
    del plan["layers"]
    copied(folder / "float", tmp_path / "old", PLAN, to_json(plan))
    (tmp_path / "empty").mkdir()
    good = str(folder / "float")
    fails(tmp_path, 7, "empty is not an edgec artifact", "diff", good, "empty")
    fails(tmp_path, 7, "old was built by an edgec that did not say where layers lie", "diff", "old", good)
    fails(tmp_path, 2, "input 'x' f32[1,3,12,11] of the one, 'x' f32[1,3,12,10] of the other", "diff", "wide", good)
    fails(tmp_path, 2, "--tolerance 3 is no share", "diff", good, good, "--tolerance", "3")
    fails(tmp_path, 2, "--seed and --range are for random ones", "diff", good, good, "-i", "x.npy", "--seed", "1")
    fails(tmp_path, 2, "nix.npy is not a .npy file", "diff", good, good, "--input", "nix.npy")
    fails(tmp_path, 2, "--json", "diff", good, good, "--json", "no/such/folder.json")
    (tmp_path / "float").mkdir()
    shutil.copytree(good, tmp_path / "broken")
    (tmp_path / "broken" / "m.c").write_text("int x;\n")
    fails(tmp_path, 7, "m.c is not the file that was built", "diff", "broken", good)
    done = command("diff", "renamed", good, cwd=tmp_path)
    assert done.returncode == 0, done.stderr  # the output is a tensor of both
    assert "layers of A alone: 5: transpose Conv 'first of another'" in done.stdout


def layer(array: Any, op: str = "op", **more: Any) -> LayerValue:
    given = {"dtype": "f32", "origin": None, "scaled": None, "known": None, **more}
    return LayerValue(op=op, stored=np.asarray(array), **given)


def row(a: LayerValue, b: LayerValue, tolerance: float = 0.0) -> Row:
    ((x, y),) = pairs_of([a], [b]).pairs
    return _row(x, y, tolerance)


def test_rows() -> None:
    a = np.array([[1.0, 2.0, np.nan, np.inf], [4.0, 5.0, np.nan, np.inf]])
    same = row(layer(a), layer(a.copy()))
    assert (same.largest, same.beyond, same.signal_to_noise_db) == (0.0, (), np.inf)
    b = a.copy()
    b[1, 1], b[0, 2] = 4.0, 3.0
    parts = row(layer(a), layer(b))
    assert parts.beyond == (1, 2)
    assert (parts.channel, parts.index, parts.largest) == (2, (0, 2), np.inf)
    known = np.array([[True, True, False, True]] * 2)
    parts = row(layer(a, known=known), layer(b), 0.25)
    assert (parts.beyond, parts.largest, parts.share, parts.index) == ((), 1.0, 0.25, (1, 1))
    parts = row(layer(a, known=known), layer(b), 0.24)
    assert parts.beyond == (1,)
    assert row(layer(np.zeros(3)), layer(np.array([0.0, 1.0, 0.0]))).beyond == (1,)
    scalar = row(layer(np.float32(1)), layer(np.float32(2)))
    assert (scalar.beyond, scalar.index, scalar.channels) == ((0,), (), 1)
    bytes_of = {"scaled": Scaled((0.5, 0.25), 3), "dtype": "u8"}
    ours = layer(np.array([[7, 9]], np.uint8), **bytes_of)
    theirs = layer(np.array([[-121, -117]], np.int8), dtype="i8", scaled=Scaled((0.5, 0.25), -125))
    found = row(ours, theirs)
    assert (found.steps, found.largest, found.beyond) == (2, 0.5, (1,))
    assert row(ours, layer(np.array([[2.0, 1.5]]))).steps is None
    assert row(ours, layer(np.array([[2.0, 1.5]]))).largest == 0.0


def test_pairs() -> None:
    """By the tensor, in whatever order its axes lie; else by operator, shape and place."""
    x = np.arange(24.0).reshape(1, 2, 3, 4)
    planes = layer(x, "a", origin=Origin("t"))
    last = layer(x.transpose(0, 2, 3, 1), "b", origin=Origin("t", (("transpose", (0, 2, 3, 1)),)))
    copy = layer(x + 1, "c", origin=Origin("t"))
    flat = layer(x.reshape(2, 12), "d", origin=Origin("t", (("reshape", (2, 12)),)))
    nameless = [layer(np.full(3, i), "e") for i in range(2)]
    found = pairs_of([last, flat, *nameless], [planes, copy, nameless[0]])
    assert [(a.layer.op, b.layer.op) for a, b in found.pairs] == [("b", "a"), ("e", "e")]
    assert [v.op for v in found.first_alone] == ["d", "e"]
    assert list(found.second_alone) == []
    (x_laid, y_laid) = found.pairs[0]
    assert isinstance(x_laid, Laid)
    assert (x_laid.channels, y_laid.channels, x_laid.dims) == (1, 1, (1, 2, 3, 4))
    moved = layer(x.transpose(0, 2, 3, 1) + 2 * (np.arange(2) == 1), "b", origin=last.origin)
    assert row(moved, planes).beyond == (1,)
    raw = [layer(np.zeros(3, t), "q", dtype=n) for t, n in ((np.uint8, "u8"), (np.int8, "i8"))]
    assert pairs_of(raw[:1], raw[1:]).pairs == []
    assert len(pairs_of(raw[:1], raw[:1]).pairs) == 1
    elsewhere = pairs_of(raw[:1], raw[:1], one_isa=False)
    assert elsewhere == pairs_of([], [])
    assert pairs_of([layer(x, "to_float8 Conv")], [layer(x, "to_float8 Conv")]).pairs == []
