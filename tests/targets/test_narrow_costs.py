"""Predicted instructions against those that are executed on A64, without dot products, with them, and with matrices."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from compiled import compiled
from network import Network
from test_qconv import _bytes, _requant, _weights, _zero, isa_of

from edgec.runtime.session import load
from edgec.targets.c import narrow_costs

# (rows, columns, channels, results, kernel, stride, groups): a pointwise layer, Winograd in floats, a stride, depthwise
LAYERS = [(14, 14, 64, 96, 1, 1, 1), (16, 16, 24, 24, 3, 1, 1), (24, 24, 8, 16, 3, 2, 1), (28, 28, 48, 48, 3, 1, 48)]
ERROR = 0.12


def executed(net: Network, target: str, folder: Path) -> int:
    compiled(net.graph, target, folder).close()
    with load(folder, count=True) as session:
        session.run(None, net.feeds)
        return session.instructions


@pytest.mark.parametrize("target", ["arm:cortex-a72", "arm:cortex-a76", "arm:neoverse-n2"])
@pytest.mark.parametrize("layer", LAYERS)
def test_convolution(layer: Any, target: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(narrow_costs, "PER_BYTE", 0.0)  # of memory, which executes nothing
    h, w, c, o, kernel, stride, groups = layer
    isa, pad = isa_of(target), kernel // 2
    form: Any = dict(strides=(stride,) * 2, pads=(pad,) * 4, dilations=(1, 1), groups=groups, layout="nhwc")
    shape = (o, c // groups, kernel, kernel)
    wide, narrow = Network(1), Network(1)
    op = wide.op("conv", wide.floats(1, h, w, c), wide.const(*shape), wide.const(o), **form).op
    assert op is not None
    consts, bounds = _requant(narrow, isa, o, c // groups * kernel**2)
    narrow.op("qconv", _bytes(narrow, isa, 1, h, w, c), _weights(narrow, *shape), *consts, **form,
              x_zero=_zero(isa, 0.3), **bounds)  # fmt: skip
    for name in ("wide", "narrow"):
        (tmp_path / name).mkdir()
    found = executed(wide, target, tmp_path / "wide"), executed(narrow, target, tmp_path / "narrow")
    assert narrow_costs.in_floats(op, isa) == pytest.approx(found[0], rel=ERROR)
    assert narrow_costs.on_bytes(op, isa) == pytest.approx(found[1], rel=ERROR)
