"""Compressed weights read back from the saved package are ours, bit for bit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from coreml_forms import FORMS, KINDS, Form, graph_of, ideal_bits, saved_weights, write_package

from edgec.ir import interp
from edgec.ir.errors import UnsupportedError
from edgec.ir.graph import Graph
from edgec.targets.coreml.deployment import DEPLOYMENTS, choose
from edgec.targets.coreml.package import package_files
from edgec.targets.coreml.program import emit
from edgec.targets.coreml.reload import check_reload

SIZE = 512
GRAPHS: dict[tuple[str, str], Graph] = {}


def graph_with(form: Form, kind: str) -> Graph:
    if (form.name, kind) not in GRAPHS:
        GRAPHS[form.name, kind] = graph_of(kind, SIZE, form.passes)[0]
    return GRAPHS[form.name, kind]


def feeds_of(kind: str) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(1)
    if kind == "gather":
        return {"x": np.array([[3, 0, 511, 100]], np.int64)}
    shape = (1, SIZE, 2, 2) if kind == "conv" else (1, 4, SIZE)
    return {"x": rng.standard_normal(shape).astype(np.float16).astype(np.float32)}


@pytest.mark.parametrize("halves", [False, True], ids=["fp32", "fp16"])
@pytest.mark.parametrize("name", ["ios16", "ios18", "ios26"])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("form", FORMS, ids=lambda f: f.name)
def test_saved_weights_are_ours(form: Form, kind: str, name: str, halves: bool, tmp_path: Path) -> None:
    graph, deployment = graph_with(form, kind), choose(name)
    value = graph.ops[0].arg(0 if kind == "gather" else 1)
    behind = form.behind and kind != "gather" and deployment.number < 26
    if deployment.number < form.least and not behind:
        with pytest.raises(UnsupportedError, match=f"from iOS {form.least} on, .*--target coreml:ios{form.least}"):
            emit(graph.module, deployment, halves)
        return
    files = package_files(emit(graph.module, deployment, halves))
    check_reload(files)
    feeds = feeds_of(kind)
    found, scale, outputs = saved_weights(write_package(files, tmp_path / "x.mlpackage"), feeds)
    ours = graph.array(value)
    dtype = np.float16 if halves else np.float32
    assert (scale is not None) == behind
    assert found.dtype == dtype
    if scale is None:
        assert found.tobytes() == ours.astype(dtype).tobytes()
    else:
        # the scale stands behind the product: both parts are whole, and they are ours together
        across = [-1, 1, 1, 1][: ours.ndim] if kind == "conv" else [1, -1]
        np.testing.assert_array_equal(found.astype(np.float32) * scale.astype(np.float32).reshape(across), ours)
    (meant,) = interp.run(graph, feeds).values()
    (y,) = outputs.values()
    assert np.abs(np.asarray(y, np.float32) - meant).max() <= (4e-3 if halves else 1e-5) * np.abs(meant).max()


@pytest.mark.parametrize("form", FORMS, ids=lambda f: f.name)
def test_size_is_that_of_the_bits(form: Form) -> None:
    """Within 3 % of indices, tables, masks and scales; the frame of a package takes under 3 KB."""
    graph, value = graph_of("conv", 1024, form.passes)
    deployment = next(d for d in DEPLOYMENTS.values() if d.number >= form.least)
    size = sum(map(len, package_files(emit(graph.module, deployment, True)).values()))
    assert size <= ideal_bits(graph, value, True, deployment) / 8 * 1.03
