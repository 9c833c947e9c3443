"""Trained models out of packages: built, verified by the build itself, and compared with onnxruntime once more here."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from compiled import assert_close
from model_set import read_models
from models.fetch import fetch_model, trained_models

import edgec
from edgec.driver import build
from edgec.ir.types import Type
from edgec.sample_inputs import sample_inputs

INPUTS = 5
SMALL = ("mtcnn_rnet", "silero_vad_16k_op15", "ppocr_v2_cls")
EMULATED = ("mtcnn_rnet", "silero_vad_16k_op15")


def check(name: str, target: str, folder: Path) -> None:
    path = fetch_model(name)
    (model,) = read_models(path.parent, [name])
    built = build(path, target, folder / "out", model.options(verify_inputs=INPUTS))
    verification = built.receipt["verification"]
    assert verification["pass"]
    assert verification["inputs"] == INPUTS
    assert verification["executed_on"] == "host" if target == "host" else "unicorn" in verification["executed_on"]
    # independent of the compiler's own verification: other seeds, onnxruntime as it comes
    reference = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    known = {i.name for i in reference.get_inputs()}
    with edgec.load(built.directory) as session:
        names = [t.name for t in session.outputs]
        assert names == [o.name for o in reference.get_outputs()]
        results = []
        for seed in range(100, 100 + INPUTS):
            feeds = sample_inputs([(t.name, Type(t.dtype, t.shape)) for t in session.inputs], seed, model.ranges)
            session.reset()
            found = session.run(None, feeds)
            bound = {k: v for k, v in model.consts.items() if k in known}
            for output, a, b in zip(names, found, reference.run(None, {**feeds, **bound}), strict=True):
                assert_close(a, b, f"{name} {target} {output}, seed {seed}")
            results.append(found[0])
    assert not np.array_equal(results[0], results[1]), "the output does not depend on the input"


@pytest.mark.parametrize("name", SMALL)
def test_small_on_host(name: str, tmp_path: Path) -> None:
    check(name, "host", tmp_path)


@pytest.mark.parametrize("name", EMULATED)
def test_small_on_arm(name: str, tmp_path: Path) -> None:
    check(name, "arm", tmp_path)


@pytest.mark.heavy
@pytest.mark.parametrize("target", ["host", "arm"])
@pytest.mark.parametrize("name", trained_models())
def test_every_trained_model(name: str, target: str, tmp_path: Path) -> None:
    check(name, target, tmp_path)
