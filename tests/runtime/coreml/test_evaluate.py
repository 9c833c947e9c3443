"""The evaluator itself: rounding, observers, declared types, control flow, lists, states, speed."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from coreml_packages import block_of, computed, mb, mil_program, model_file, operation, read_model, types

from edgec.runtime.coreml.evaluate import EvaluationError, Evaluator
from edgec.runtime.coreml.package import read_package

Array = np.ndarray[Any, Any]

X = np.random.default_rng(0).standard_normal((4, 6)).astype(np.float32)


def test_halves_are_rounded_once_an_operator() -> None:
    """(x * y) + z in float16 rounds the product and the sum; in float32 throughout nothing is rounded."""
    x, y, z = (X.astype(np.float16) * k for k in (np.float16(1), np.float16(1.7), np.float16(-0.3)))
    built = {"x": x, "y": y, "z": z}

    def build(x: Any, y: Any, z: Any) -> Any:
        return mb.add(x=mb.mul(x=x, y=y), y=z)

    made = computed(build, built)[0]
    product = (x.astype(np.float32) * y.astype(np.float32)).astype(np.float16)
    assert made.dtype == np.float16
    np.testing.assert_array_equal(made, (product.astype(np.float32) + z.astype(np.float32)).astype(np.float16))
    whole = computed(build, built, halves=False)[0]
    assert whole.dtype == np.float32
    np.testing.assert_array_equal(whole, x.astype(np.float32) * y.astype(np.float32) + z.astype(np.float32))
    assert not np.array_equal(whole, made.astype(np.float32))


def test_sums_within_an_operator_are_not_rounded() -> None:
    """A product of matrices adds up in float32 and is rounded at the end: halves cannot count beyond 2048."""
    x = np.ones((1, 3000), np.float16)
    assert computed(lambda x: mb.matmul(x=x, y=x, transpose_y=True), {"x": x})[0].item() == 3000


def test_halves_overflow() -> None:
    x = np.array([300], np.float16)
    assert computed(lambda x: mb.mul(x=x, y=x), {"x": x})[0].tolist() == [np.inf]
    assert computed(lambda x: mb.mul(x=x, y=x), {"x": x}, halves=False)[0].tolist() == [90000]
    counted = np.array([100_000, 2049], np.int32)
    assert computed(lambda x: mb.cast(x=x, dtype="fp16"), {"x": counted})[0].tolist() == [np.inf, 2048]
    assert computed(lambda x: mb.cast(x=x, dtype="fp16"), {"x": counted}, halves=False)[0].tolist() == [100_000, 2049]


def test_integers_become_halves_in_the_same_way() -> None:
    """70,000 is more than halves hold, and not too much without their rounding."""
    x = np.array([70_000, 2049, -3], np.int32)

    def build(x: Any) -> Any:
        return mb.cast(x=mb.mul(x=mb.cast(x=x, dtype="fp16"), y=np.float16(0.5)), dtype="fp32")

    assert computed(build, {"x": x})[0].tolist() == [np.inf, 1024, -1.5]
    assert computed(build, {"x": x}, halves=False)[0].tolist() == [35_000, 1024.5, -1.5]


def test_observers_see_every_result(tmp_path: Path) -> None:
    """In order, constants apart, as the rest of the program sees it."""

    def build(x: Any) -> Any:
        return mb.exp(x=mb.relu(x=x, name="a"), name="b")

    seen: list[tuple[str, str, Array]] = []
    package = read_package(mil_program(build, {"x": X}, 8, tmp_path / "x.mlpackage"))
    Evaluator(package, observe=lambda op, name, array: seen.append((op.type, name, array))).run({"x": X})
    assert [s[:2] for s in seen] == [("relu", "a"), ("exp", "b")]
    np.testing.assert_array_equal(seen[0][2], np.maximum(X, 0))


def edited(tmp_path: Path, build: Any, inputs: dict[str, Array], edit: Any) -> Evaluator:
    path = mil_program(build, inputs, 8, tmp_path / "x.mlpackage")
    model = read_model(path)
    edit(model)
    model_file(path).write_bytes(model.SerializeToString())
    return Evaluator(read_package(path))


@pytest.mark.parametrize(
    ("number", "said"),
    [(10, "relu 'a' declares 'a' fp16[4,6] but makes fp32"), (23, "relu 'a' declares 'a' int32[4,6] but makes fp32")],
)
def test_declared_types_are_held(tmp_path: Path, number: int, said: str) -> None:
    def edit(model: Any) -> None:
        operation(model, "relu").outputs[0].type.tensorType.dataType = number

    with pytest.raises(EvaluationError) as caught:
        edited(tmp_path, lambda x: mb.relu(x=x, name="a"), {"x": X}, edit).run({"x": X})
    assert str(caught.value) == said


def test_declared_shapes_are_held(tmp_path: Path) -> None:
    def edit(model: Any) -> None:
        operation(model, "transpose").outputs[0].type.tensorType.dimensions[0].constant.size = 4

    with pytest.raises(EvaluationError, match=r"transpose 'a' declares 'a' fp32\[4,4\] but makes the shape \[6, 4\]"):
        edited(tmp_path, lambda x: mb.transpose(x=x, perm=[1, 0], name="a"), {"x": X}, edit).run({"x": X})


def test_a_tensor_of_any_rank() -> None:
    """A shape whose length is not known before: coremltools declares a variadic dimension."""
    from coremltools.converters.mil.mil import get_new_symbol

    shape = mb.placeholder(shape=(get_new_symbol(),), dtype=types.int32)
    with tempfile.TemporaryDirectory() as folder:
        path = mil_program(
            lambda s: mb.fill(shape=s, value=np.float32(2)), {"s": shape}, 8, Path(folder) / "x.mlpackage"
        )
        evaluator = Evaluator(read_package(path))
        for wanted in ([3], [2, 1, 3]):
            (made,) = evaluator.run({"s": np.array(wanted, np.int32)}).values()
            assert list(np.shape(made)) == wanted


def test_operands_of_two_types(tmp_path: Path) -> None:
    def edit(model: Any) -> None:
        operation(model, "add").inputs["y"].arguments[0].name = "half"
        block = block_of(model)
        block.outputs.append("half")

    def build(x: Any) -> Any:
        half = mb.cast(x=x, dtype="fp16", name="half")
        return mb.add(x=x, y=x, name="a"), half

    with pytest.raises(EvaluationError, match="add 'a': 'y' is fp16 but 'x' is fp32"):
        edited(tmp_path, build, {"x": X}, edit).run({"x": X})


def test_a_branch() -> None:
    def build(x: Any, y: Any) -> Any:
        positive = mb.greater(x=mb.reduce_sum(x=x, axes=[0, 1], keep_dims=False), y=np.float32(0))
        return mb.cond(pred=positive, _true_fn=lambda: mb.add(x=x, y=y), _false_fn=lambda: mb.sub(x=x, y=y))

    for sign in (1, -1):
        x = (sign * np.abs(X)).astype(np.float32)
        np.testing.assert_array_equal(computed(build, {"x": x, "y": X})[0], x + sign * X)


def test_a_branch_without_blocks(tmp_path: Path) -> None:
    def build(x: Any) -> Any:
        positive = mb.greater(x=mb.reduce_sum(x=x, axes=[0, 1], keep_dims=False), y=np.float32(0))
        return mb.cond(pred=positive, _true_fn=lambda: mb.relu(x=x), _false_fn=lambda: mb.abs(x=x), name="c")

    evaluator = edited(tmp_path, build, {"x": X}, lambda model: operation(model, "cond").blocks.pop())
    with pytest.raises(EvaluationError, match="cond 'c': it has 1 blocks and should have 2"):
        evaluator.run({"x": X})


def test_a_loop() -> None:
    """Doubles until ten are exceeded, and counts."""

    def build(x: Any, n: Any) -> Any:
        return mb.while_loop(
            _cond=lambda x, n: mb.less(x=mb.squeeze(x=x), y=np.float32(10)),
            _body=lambda x, n: (mb.mul(x=x, y=np.float32(2)), mb.add(x=n, y=np.float32(1))),
            loop_vars=(x, n),
        )

    made = computed(build, {"x": np.array([1.5], np.float32), "n": np.array([0], np.float32)})
    assert [a.tolist() for a in made] == [[12], [3]]


def test_a_list_in_a_loop() -> None:
    """Squares of rows, written one by one and gathered."""

    def build(x: Any) -> Any:
        rows = mb.make_list(init_length=4, dynamic_length=False, elem_shape=(6,), dtype="fp32")

        def body(i: Any, ls: Any) -> Any:
            row = mb.squeeze(x=mb.gather(x=x, indices=i, axis=0), axes=[0])
            return mb.add(x=i, y=np.int32(1)), mb.list_write(ls=ls, index=mb.squeeze(x=i), value=mb.square(x=row))

        first = mb.slice_by_size(x=mb.reduce_sum(x=x, axes=[1]), begin=[0], size=[1])
        start = mb.mul(x=mb.cast(x=first, dtype="int32"), y=np.int32(0))
        _, rows = mb.while_loop(
            _cond=lambda i, ls: mb.less(x=mb.squeeze(x=i), y=np.int32(4)), _body=body, loop_vars=(start, rows)
        )
        return mb.list_gather(ls=rows, indices=np.array([3, 0], np.int32)), mb.list_read(ls=rows, index=np.int32(1))

    both, one = computed(build, {"x": X})
    np.testing.assert_array_equal(both, X[[3, 0]] ** 2)
    np.testing.assert_array_equal(one, X[1] ** 2)


def test_an_element_that_was_never_written() -> None:
    def build(x: Any) -> Any:
        rows = mb.make_list(init_length=2, dynamic_length=False, elem_shape=(6,), dtype="fp32")
        rows = mb.list_scatter(ls=rows, indices=np.array([1], np.int32), value=x)
        return mb.list_read(ls=rows, index=np.int32(0)), mb.list_length(ls=rows)

    with pytest.raises(EvaluationError, match=r"list_read.*element 0 of a list of 2 was never written"):
        computed(build, {"x": X[:1]})


def test_a_state_read_after_it_is_written(tmp_path: Path) -> None:
    """The cell changes between two reads of one call; a copy that was read does not."""

    def build(x: Any, s: Any) -> Any:
        before = mb.read_state(input=s, name="before")
        mb.coreml_update_state(state=s, value=mb.add(x=before, y=x))
        return mb.identity(x=before), mb.read_state(input=s, name="after")

    x = np.array([1, 2], np.float16)
    state = mb.state_tensor_placeholder(shape=(2,), dtype=types.fp16)
    evaluator = Evaluator(read_package(mil_program(build, {"x": x, "s": state}, 8, tmp_path / "x.mlpackage")))
    assert [a.tolist() for a in evaluator.run({"x": x}).values()] == [[0, 0], [1, 2]]
    assert [a.tolist() for a in evaluator.run({"x": x}).values()] == [[1, 2], [2, 4]]
    evaluator.reset()
    assert [a.tolist() for a in evaluator.run({"x": x}).values()] == [[0, 0], [1, 2]]


def test_depthwise_convolutions_are_not_slow() -> None:
    """A hundred channels of 112x112 within a second, where a loop over channels and elements would take minutes."""
    x = np.ones((1, 96, 112, 112), np.float32)
    weight = np.ones((96, 1, 3, 3), np.float32)
    begin = time.perf_counter()
    made = computed(lambda x: mb.conv(x=x, weight=weight, groups=96, pad_type="same"), {"x": x})[0]
    assert made[0, 50, 50, 50] == 9
    assert time.perf_counter() - begin < 10
