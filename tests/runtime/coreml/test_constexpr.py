"""Compressed constants against the examples of coremltools' documentation and against arithmetic written out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from coreml_packages import computed, mb, mil_program, model_file, operation, read_model, types

from edgec.runtime.coreml.evaluate import EvaluationError, Evaluator
from edgec.runtime.coreml.package import read_package

Array = np.ndarray[Any, Any]

NOTHING = np.zeros(1, np.float32)
UINT = {
    1: types.np_uint1_dtype,
    2: types.np_uint2_dtype,
    3: types.np_uint3_dtype,
    4: types.np_uint4_dtype,
    6: types.np_uint6_dtype,
    8: np.uint8,
}


def constant(build: Any, opset: int) -> Array:
    """The array that a constexpr makes, as f32: something must read it."""

    def whole(x: Any) -> Any:
        made = build()
        wide = mb.cast(x=made, dtype="fp32") if made.dtype != types.fp32 else made
        return mb.identity(x=wide), mb.identity(x=x)

    return np.asarray(computed(whole, {"x": NOTHING}, opset)[0])


def test_affine_dequantize() -> None:
    """scale * (data - zero point) along an axis."""
    data = np.array([[0, 128, 255], [1, 2, 3]], np.uint8)
    made = constant(
        lambda: mb.constexpr_affine_dequantize(
            quantized_data=data, zero_point=np.array([128, 1], np.uint8), scale=np.array([0.5, 2], np.float32),
            axis=np.int32(0),
        ),
        6,
    )  # fmt: skip
    np.testing.assert_array_equal(made, [[-64, 0, 63.5], [0, 2, 4]])


@pytest.mark.parametrize("bits", [1, 2, 4, 6, 8])
def test_flat_palettes(bits: int) -> None:
    """Indices in bytes, the first in the least significant bits; fractions of a byte at the end."""
    rng = np.random.default_rng(bits)
    indices = rng.integers(0, 1 << bits, (3, 5))
    table = rng.standard_normal(1 << bits).astype(np.float16)
    whole = sum(int(v) << (i * bits) for i, v in enumerate(indices.ravel()))
    data = np.frombuffer(whole.to_bytes((15 * bits + 7) // 8, "little"), np.uint8)
    made = constant(lambda: mb.constexpr_lut_to_dense(indices=data, lut=table, shape=np.array([3, 5], np.uint32)), 6)
    np.testing.assert_array_equal(made, table[indices].astype(np.float32))


@pytest.mark.parametrize("bits", [1, 2, 3, 4, 6, 8])
def test_palettes_of_groups(bits: int) -> None:
    """A table for each block of 3 rows and 2 columns."""
    rng = np.random.default_rng(bits)
    indices = rng.integers(0, 1 << bits, (6, 4))
    tables = rng.standard_normal((2, 2, 1 << bits, 1)).astype(np.float16)
    made = constant(lambda: mb.constexpr_lut_to_dense(indices=indices.astype(UINT[bits]), lut=tables), 8)
    wanted = [[tables[i // 3, j // 2, indices[i, j], 0] for j in range(4)] for i in range(6)]
    np.testing.assert_array_equal(made, np.array(wanted, np.float32))


def test_palettes_as_documented() -> None:
    """Cases 1, 2.1 and 2.2 of constexpr_lut_to_dense."""
    indices = np.array([2, 3, 3, 0, 1, 0, 3, 0, 2, 1, 0, 3]).reshape(6, 2).astype(UINT[2])
    lut = np.array([1, 5, 9, 13, 2, 10, 18, 26], np.float16).reshape(2, 1, 4, 1)
    made = constant(lambda: mb.constexpr_lut_to_dense(indices=indices, lut=lut), 8)
    np.testing.assert_array_equal(made, [[9, 13], [13, 1], [5, 1], [26, 2], [18, 10], [2, 26]])
    indices = np.array([0, 0, 1, 0, 1, 1, 0, 0]).reshape(2, 2, 2).astype(UINT[1])
    lut = np.array([1, 2, 3, 11, 12, 13], np.float16).reshape(1, 1, 1, 2, 3)
    made = constant(lambda: mb.constexpr_lut_to_dense(indices=indices, lut=lut, vector_axis=np.int32(1)), 8)
    first = [[1, 1], [2, 2], [3, 3], [11, 1], [12, 2], [13, 3]]
    second = [[11, 11], [12, 12], [13, 13], [1, 1], [2, 2], [3, 3]]
    np.testing.assert_array_equal(made, [first, second])
    made = constant(lambda: mb.constexpr_lut_to_dense(indices=indices, lut=lut, vector_axis=np.int32(2)), 8)
    np.testing.assert_array_equal(
        made, [[[1, 2, 3, 1, 2, 3], [11, 12, 13, 1, 2, 3]], [[11, 12, 13, 11, 12, 13], [1, 2, 3, 1, 2, 3]]]
    )


def test_tables_of_another_rank(tmp_path: Path) -> None:
    """The same bytes declared [4] in place of [1, 4, 1]."""
    path = mil_program(
        lambda x: mb.add(x=x, y=mb.constexpr_lut_to_dense(indices=np.array([0, 3], UINT[2]),
                                                          lut=np.ones((1, 4, 1), np.float32))),
        {"x": NOTHING}, 8, tmp_path / "x.mlpackage",
    )  # fmt: skip
    model = read_model(path)
    kind = operation(model, "constexpr_lut_to_dense").inputs["lut"].arguments[0].value.type.tensorType
    kind.rank = 1
    del kind.dimensions[2], kind.dimensions[0]
    model_file(path).write_bytes(model.SerializeToString())
    with pytest.raises(EvaluationError, match=r"tables \[4\] do not fit indices of uint2, which need 4 entries each"):
        Evaluator(read_package(path)).run({"x": NOTHING})


def test_masks() -> None:
    """A flat mask of bytes, and one of single bits."""
    values = np.array([1.5, -2, 3], np.float16)
    made = constant(
        lambda: mb.constexpr_sparse_to_dense(
            nonzero_data=values, mask=np.array([0b00110100, 0], np.uint8), shape=np.array([3, 3], np.uint32)
        ),
        6,
    )
    wanted = [[0, 0, 1.5], [0, -2, 3], [0, 0, 0]]
    np.testing.assert_array_equal(made, wanted)
    mask = (np.array(wanted) != 0).astype(UINT[1])
    np.testing.assert_array_equal(
        constant(lambda: mb.constexpr_sparse_to_dense(nonzero_data=values, mask=mask), 8), wanted
    )


def test_blocks() -> None:
    """scale * (data - offset), blocks of 1 row and 2 columns; i4."""
    data = np.array([[-8, 7, 0, 1], [3, -3, 2, -2]]).astype(types.np_int4_dtype)
    scale = np.array([[0.5, 2], [1, 0.25]], np.float16)
    offset = np.array([[1, 0], [-1, 2]]).astype(types.np_int4_dtype)
    made = constant(lambda: mb.constexpr_blockwise_shift_scale(data=data, scale=scale, offset=offset), 8)
    np.testing.assert_array_equal(made, [[-4.5, 3, 0, 2], [4, -2, 0, -1]])


def test_sparse_forms_as_documented() -> None:
    """constexpr_lut_to_sparse (scalar, vector) and constexpr_sparse_blockwise_shift_scale, made dense."""
    mask = np.array([[1, 1, 0, 0, 0, 0], [1, 1, 0, 0, 0, 1], [0, 1, 1, 0, 1, 0], [0, 0, 0, 1, 0, 0]])
    codes = np.array([0, 1, 1, 0, 1, 1, 0, 0, 1]).astype(UINT[1])

    def palette(lut: Array, **axis: Any) -> Array:
        def build() -> Any:
            made, values = mb.constexpr_lut_to_sparse(
                indices_mask=mask.astype(UINT[1]), indices_nonzero_data=codes, lut=lut, **axis
            )
            return mb.constexpr_sparse_to_dense(nonzero_data=values, mask=made)

        return constant(build, 8)

    dense = np.zeros((4, 6))
    dense[mask == 1] = [2, 3, 3, 2, 3, 3, 2, 2, 3]
    np.testing.assert_array_equal(palette(np.array([2, 3], np.float16).reshape(1, 1, 2, 1)), dense)
    vectors = np.array([[2, 2], [3, 3]], np.float16).reshape(1, 1, 2, 2)
    np.testing.assert_array_equal(palette(vectors, vector_axis=np.int32(0)), dense.repeat(2, 0))

    def scaled() -> Any:
        made, values = mb.constexpr_sparse_blockwise_shift_scale(
            data_mask=np.array([[1, 1, 0, 0], [1, 1, 1, 0], [0, 0, 1, 1], [1, 1, 0, 0]]).astype(UINT[1]),
            nonzero_data=np.array([10, 11, 3, 4, 5, 6, 7, 8, 9], np.int8),
            scale=np.array([[0.1, 0.2, 0.3, 0.4]], np.float32), offset=np.array([[1, 2, 3, 4]], np.int8),
        )  # fmt: skip
        return mb.constexpr_sparse_to_dense(nonzero_data=values, mask=made)

    wanted = [[0.9, 1.8, 0, 0], [0.2, 0.4, 0.6, 0], [0, 0, 0.9, 1.2], [0.7, 1.4, 0, 0]]
    np.testing.assert_allclose(constant(scaled, 8), wanted, rtol=1e-6)


def test_a_palette_within_blocks() -> None:
    """Four-bit floats with a scale a block, as MXFP4 is carried: the table's entries times the scale, exactly."""
    table = np.array([0, 0.5, 1, 1.5, 2, 3, 4, 6, -0.0, -0.5, -1, -1.5, -2, -3, -4, -6], np.float16)
    indices = np.random.default_rng(0).integers(0, 16, (4, 64))
    scale = np.exp2(np.random.default_rng(1).integers(-3, 3, (4, 2))).astype(np.float16)

    def build() -> Any:
        entries = mb.constexpr_lut_to_dense(indices=indices.astype(UINT[4]), lut=table.reshape(1, 1, 16, 1))
        return mb.constexpr_blockwise_shift_scale(data=entries, scale=scale)

    np.testing.assert_array_equal(constant(build, 8), table[indices].astype(np.float32) * scale.repeat(32, 1))


def test_a_scaled_palette() -> None:
    """The other order: a table of bytes, scaled first."""
    table = np.arange(-8, 8, dtype=np.int8)
    indices = np.random.default_rng(0).integers(0, 16, (3, 4))

    def build() -> Any:
        wide = mb.constexpr_blockwise_shift_scale(
            data=table.reshape(1, 1, 16, 1), scale=np.float16(0.125).reshape(1, 1, 1, 1)
        )
        return mb.constexpr_lut_to_dense(indices=indices.astype(UINT[4]), lut=wide)

    np.testing.assert_array_equal(constant(build, 8), table[indices] * 0.125)


def test_cast() -> None:
    values = np.array([1.5, -2.25, 65504], np.float16)
    np.testing.assert_array_equal(
        constant(lambda: mb.constexpr_cast(source_val=values, output_dtype="fp32"), 6), values.astype(np.float32)
    )


def test_quantize() -> None:
    """Halves go to even, then the zero point, then saturation; along an axis."""
    x = np.array([[0.5, 1.5, 2.5, -0.5, 500], [1, 2, 3, 4, -500]], np.float32)
    made = computed(
        lambda x: mb.quantize(
            input=x, scale=np.array([1, 2], np.float32), zero_point=np.array([10, -3], np.int8), axis=np.int32(0),
            output_dtype="int8",
        ),
        {"x": x}, 7,
    )[0]  # fmt: skip
    assert made.dtype == np.int8
    assert made.tolist() == [[10, 12, 12, 10, 127], [-3, -2, -1, -1, -128]]


def test_dequantize() -> None:
    x = np.array([[0, 10], [255, 128]], np.uint8)
    made = computed(
        lambda x: mb.dequantize(input=mb.cast(x=x, dtype="uint8"), scale=np.float32(0.5), zero_point=np.uint8(128)),
        {"x": x.astype(np.float32)}, 7,
    )[0]  # fmt: skip
    np.testing.assert_array_equal(made, (x.astype(np.float32) - 128) / 2)
