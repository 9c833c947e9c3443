"""A package's bytes: the same each time, and coremltools reads them."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from network import Network

from edgec.ir.errors import UnsupportedError, UsageError
from edgec.targets.coreml.deployment import DEPLOYMENTS, choose
from edgec.targets.coreml.mil import coremltools
from edgec.targets.coreml.package import package_files
from edgec.targets.coreml.program import emit
from edgec.targets.coreml.reload import check_reload

PLAIN: dict[str, Any] = {"strides": (1, 1), "pads": (0, 0, 0, 0), "dilations": (1, 1), "layout": "nchw"}


def net() -> Network:
    net = Network(3)
    y = net.build.op("conv", net.floats(1, 4, 6, 6), net.const(8, 4, 1, 1), net.const(8), **PLAIN)
    net.named("y", net.build.op("relu", y))
    return net


@pytest.mark.parametrize("halves", [False, True])
@pytest.mark.parametrize("name", DEPLOYMENTS)
def test_reload(name: str, halves: bool, tmp_path: Path) -> None:
    files = package_files(emit(net().graph.module, choose(name), halves))
    assert files == package_files(emit(net().graph.module, choose(name), halves))
    for path, content in files.items():
        (tmp_path / "x.mlpackage" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "x.mlpackage" / path).write_bytes(content)
    spec = coremltools.models.MLModel(str(tmp_path / "x.mlpackage"), skip_model_load=True).get_spec()
    assert spec.specificationVersion == DEPLOYMENTS[name].specification
    assert list(spec.mlProgram.functions["main"].block_specializations) == [DEPLOYMENTS[name].opset]
    assert [tuple(o.type.multiArrayType.shape) for o in spec.description.output] == [(1, 8, 6, 6)]


def test_all_that_has_no_route_is_listed() -> None:
    net = Network(3)
    x = net.build.op("bitcast", net.floats(2, 3), to="i32")
    net.named("y", net.build.op("bitcast", net.build.op("neg", net.build.op("bitcast", x, to="u32")), to="f32"))
    with pytest.raises(UnsupportedError) as raised:
        emit(net.graph.module, choose(""), halves=False)
    assert [reason.split(" ")[0] for reason in raised.value.reasons] == ["bitcast"] * 3


def test_weights_that_halves_do_not_hold() -> None:
    net = Network(3)
    x = net.floats(1, 4, 6, 6)
    large = net.build.const(np.full((8, 4, 1, 1), 1e6, np.float32))
    net.named("y", net.build.op("conv", x, large, **PLAIN))
    with pytest.raises(UnsupportedError, match=r"1e\+06 among its constants, and halves end at 65504"):
        emit(net.graph.module, choose(""), halves=True)


def test_unknown_deployment_target() -> None:
    with pytest.raises(UsageError, match="legal: ios15, ios16, ios17, ios18, ios26"):
        choose("ios14")


def test_logging_is_as_it_was() -> None:
    logging.disable(logging.INFO)
    try:
        check_reload(package_files(emit(net().graph.module, choose(""), halves=False)))
        assert logging.root.manager.disable == logging.INFO
    finally:
        logging.disable(logging.NOTSET)
