"""Programs whose operands are small and whose work is not: refused before memory or time are gone."""

from __future__ import annotations

import resource
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from coreml_packages import Build, computed, mb, model_file, read_model, save, types
from coreml_samples import stateful

from edgec.runtime.coreml import evaluate
from edgec.runtime.coreml.wire import Budget, Message, PackageError
from edgec.runtime.session import load


def rows(x: Any) -> Any:
    return mb.expand_dims(x=x, axes=[0])


COLUMN, ROW = np.zeros((30_000, 1), np.float32), np.zeros((1, 30_000), np.float32)


def test_messages_of_nothing() -> None:
    """4 MB of empty fields would take 100 times as much as objects."""
    with pytest.raises(PackageError, match="a message has more than 1,000,000 fields"):
        Message(memoryview(b"\x0a\x00" * 2_000_000), Budget("x"))


@pytest.mark.parametrize(
    "build",
    [
        lambda x, y: mb.add(x=x, y=y),
        lambda x, y: mb.select(cond=mb.greater(x=x, y=np.float32(1)), a=x, b=y),
        lambda x, y: mb.matmul(x=x, y=y),
        lambda x, y: mb.linear(x=x, weight=COLUMN),
        lambda x, y: mb.einsum(
            values=(mb.reshape(x=x, shape=(1, 30_000, 1, 1)), mb.reshape(x=y, shape=(1, 1, 1, 30_000))),
            equation="abcd,adce->abce",
        ),
        lambda x, y: mb.concat(values=[mb.concat(values=[x] * 300, axis=0)] * 300, axis=1),
        lambda x, y: mb.stack(values=[mb.concat(values=[x] * 300, axis=0)] * 300, axis=0),
        lambda x, y: mb.conv(x=mb.reshape(x=x, shape=(1, 1, 30_000)), weight=COLUMN[:, :, None]),
        lambda x, y: mb.conv(x=mb.reshape(x=x, shape=(1, 1, 30_000)), weight=np.zeros((30_000, 1, 2), np.float32)),
        lambda x, y: mb.mul(
            x=x,
            y=mb.constexpr_lut_to_dense(
                indices=np.zeros(30_000, types.np_uint1_dtype), lut=COLUMN.reshape(1, 2, -1).repeat(2, 2),
                vector_axis=np.int32(0),
            ),
        ),
        lambda x, y: mb.local_response_norm(x=mb.reshape(x=x, shape=(1, 1, 30_000)), size=30_000),
        lambda x, y: mb.max_pool(
            x=mb.reshape(x=x, shape=(1, 1, 1, 30_000)), kernel_sizes=[1, 1], strides=[1, 1 << 30], pad_type="valid",
            ceil_mode=True,
        ),
        lambda x, y: mb.gather_nd(x=y, indices=np.zeros((30_000, 1), np.int32)),
        lambda x, y: mb.scaled_dot_product_attention(query=rows(x), key=rows(x), value=rows(x)),
    ],
)  # fmt: skip
def test_huge_results(build: Build) -> None:
    """Small operands, a result of 900 million elements and more."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(PackageError, match=r"the result would have [0-9,]+ elements, more than 536,870,912"):
        computed(build, {"x": COLUMN, "y": ROW})
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000  # kilobytes


def test_loops_within_loops(monkeypatch: pytest.MonkeyPatch) -> None:
    """Their iterations are counted together: 40 times 40 are more than 1,000."""
    monkeypatch.setattr(evaluate, "MAX_ITERATIONS", 1000)

    def counted(i: Any) -> Any:
        def body(i: Any, j: Any) -> Any:
            inner = mb.while_loop(
                _cond=lambda k: mb.less(x=k, y=np.float32(40)),
                _body=lambda k: mb.add(x=k, y=np.float32(1)),
                loop_vars=(j,),
            )
            return mb.add(x=i, y=np.float32(1)), mb.mul(x=inner, y=np.float32(0))  # fmt: skip

        return mb.while_loop(
            _cond=lambda i, j: mb.less(x=i, y=np.float32(40)), _body=body, loop_vars=(i, mb.mul(x=i, y=np.float32(0)))
        )

    with pytest.raises(PackageError, match=r"the loops of one call do not end within 1,000 iterations"):
        computed(counted, {"i": np.zeros(1, np.float32)})
    assert computed(counted, {"i": np.full(1, 20, np.float32)})[0].tolist() == [40]


def test_an_optional_input_without_an_end(tmp_path: Path) -> None:
    package = save(tmp_path / "x.mlpackage", lambda x: mb.relu(x=x), {"x": (2, 8)})
    model = read_model(package)
    kind = model.description.input[0].type
    kind.isOptional = True
    kind.multiArrayType.shape[0] = 1 << 31
    model_file(package).write_bytes(model.SerializeToString())
    with pytest.raises(PackageError, match=r"the input 'x' .* would have 17,179,869,184 elements"):
        load(package)


def test_a_state_without_an_end(tmp_path: Path) -> None:
    path, _ = stateful(tmp_path / "x.mlpackage")
    model = read_model(path)
    kind = model.mlProgram.functions["main"].inputs
    state = next(i for i in kind if i.type.HasField("stateType"))
    state.type.stateType.wrappedType.tensorType.dimensions[1].constant.size = 1 << 31
    model_file(path).write_bytes(model.SerializeToString())
    with pytest.raises(PackageError, match=r"the state 'seen' .* would have 34,359,738,368 elements"):
        load(path)
