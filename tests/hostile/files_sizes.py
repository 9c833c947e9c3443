"""Hostile files: numbers that are too large, too small, negative or no numbers, in shapes, attributes and constants."""

from __future__ import annotations

import numpy as np
from hostile.kit import (
    FLOAT,
    INT64,
    added,
    anything,
    array,
    bare,
    constant_in_a_function,
    folded,
    image_model,
    ints,
    model,
    node,
    number,
    port,
    relu,
    resized,
)
from hostile.table import Hostile
from onnx import ModelProto, TensorProto, helper

NAN, INF = float("nan"), float("inf")

# -- shapes that are written down ---------------------------------------------------------------------------------


def input_of_2_to_40() -> ModelProto:
    return relu(port("x", 1 << 40))


def input_whose_size_overflows() -> ModelProto:
    return relu(port("x", 1 << 32, 1 << 32))


def input_of_eight_gigabytes() -> ModelProto:
    return relu(port("x", 1 << 31))


def input_with_a_negative_dimension() -> ModelProto:
    return relu(port("x", 2, -5))


def input_of_a_thousand_dimensions() -> ModelProto:
    return relu(port("x", *[1] * 1000))


def weights_of_2_to_40() -> ModelProto:
    return added(bare("w", FLOAT, 1 << 40))


def weights_whose_size_overflows() -> ModelProto:
    return added(bare("w", FLOAT, 1 << 32, 1 << 32))


def weights_with_a_negative_dimension() -> ModelProto:
    return added(bare("w", FLOAT, -1, 3))


def weights_of_a_thousand_dimensions() -> ModelProto:
    tensor = helper.make_tensor("w", FLOAT, [1] * 1000, [1.0])
    return added(tensor)


def weights_without_data() -> ModelProto:
    return added(bare("w", FLOAT, 2, 3))


def weights_with_too_much_data() -> ModelProto:
    tensor = TensorProto(name="w", data_type=FLOAT, dims=[2, 3], raw_data=bytes(28))
    return added(tensor)


def weights_with_data_in_two_fields() -> ModelProto:
    tensor = TensorProto(name="w", data_type=FLOAT, dims=[1], raw_data=bytes(4), float_data=[1.0])
    return added(tensor)


def sparse(dims: list[int], *indices: int) -> ModelProto:
    made = added()
    tensor = made.graph.sparse_initializer.add(dims=dims)
    tensor.values.CopyFrom(array("w", np.ones(len(indices))))
    tensor.indices.CopyFrom(ints("", *indices))
    return made


def sparse_weights_of_eight_gigabytes() -> ModelProto:
    return sparse([1 << 31], 1)


def sparse_weights_with_an_index_outside() -> ModelProto:
    return sparse([3], 7)


def sparse_weights_with_a_negative_index() -> ModelProto:
    return sparse([3], -1)


def sparse_constant_of_eight_gigabytes() -> ModelProto:
    tensor = helper.make_sparse_tensor(array("v", [1.0]), ints("i", 5), [1 << 31])
    return model([node("Constant", [], ["w"], sparse_value=tensor), node("Add", ["x", "w"], ["y"])])


def shape_missing() -> ModelProto:
    return relu(port("x", "batch", 3))


def rank_missing() -> ModelProto:
    return relu(anything("x"))


# -- constants that would fill the memory when they are folded ----------------------------------------------------


def constant_of_16_gigabytes() -> ModelProto:
    return folded("ConstantOfShape", ints("s", 1 << 31, 2))


def constant_of_a_negative_shape() -> ModelProto:
    return folded("ConstantOfShape", ints("s", -3))


def constant_of_shape_zero_by_2_to_62() -> ModelProto:
    return folded("ConstantOfShape", ints("s", 0, 1 << 62))


def constant_of_four_gigabytes() -> ModelProto:
    return folded("ConstantOfShape", ints("s", 1 << 30))


def many_constants_of_200_megabytes() -> ModelProto:
    nodes, last = [], "x"
    for i in range(64):
        nodes += [node("ConstantOfShape", ["s"], [f"c{i}"], value=array("v", [float(i)]))]
        nodes += [node("ReduceMax", [f"c{i}"], [f"m{i}"], keepdims=0), node("Add", [last, f"m{i}"], [f"t{i}"])]
        last = f"t{i}"
    return model([*nodes, node("Relu", [last], ["y"])], [ints("s", 50_000_000)])


def expand_to_2_to_40() -> ModelProto:
    return folded("Expand", array("a", [1.0]), ints("s", 1 << 40))


def expand_to_four_gigabytes() -> ModelProto:
    return folded("Expand", array("a", [1.0]), ints("s", 1 << 30))


def expand_to_a_negative_shape() -> ModelProto:
    return folded("Expand", array("a", [1.0]), ints("s", -4))


def tile_2_to_60_times() -> ModelProto:
    return folded("Tile", array("a", [1.0, 2.0]), ints("r", 1 << 60))


def tile_to_eight_gigabytes() -> ModelProto:
    return folded("Tile", array("a", [1.0, 2.0]), ints("r", 1 << 30))


def tile_a_negative_number_of_times() -> ModelProto:
    return folded("Tile", array("a", [1.0, 2.0]), ints("r", -2))


def range_to_2_to_62() -> ModelProto:
    return folded("Range", number("a", 0), number("b", 1 << 62), number("c", 1), dtype=INT64)


def range_of_16_gigabytes() -> ModelProto:
    return folded("Range", number("a", 0), number("b", (1 << 31) - 1), number("c", 1), dtype=INT64)


def range_to_nan() -> ModelProto:
    return folded("Range", array("a", 0.0), array("b", NAN), array("c", 1.0))


def range_in_steps_of_1e_minus_30() -> ModelProto:
    return folded("Range", array("a", 0.0), array("b", 1e30), array("c", 1e-30))


def range_in_steps_of_zero() -> ModelProto:
    return folded("Range", number("a", 0), number("b", 5), number("c", 0), dtype=INT64)


def one_hot_of_depth_2_to_40() -> ModelProto:
    return folded("OneHot", ints("i", 0, 1), number("d", 1 << 40), array("v", [0.0, 1.0]))


def one_hot_of_eight_gigabytes() -> ModelProto:
    return folded("OneHot", array("i", np.zeros(1 << 15), np.int64), number("d", 1 << 15), array("v", [0.0, 1.0]))


def one_hot_of_a_negative_depth() -> ModelProto:
    return folded("OneHot", ints("i", 0, 1), number("d", -4), array("v", [0.0, 1.0]))


def one_hot_of_no_depth() -> ModelProto:
    return folded("OneHot", ints("i", 0, 1), array("d", [], np.int64), array("v", [0.0, 1.0]))


def one_hot_of_one_value() -> ModelProto:
    return folded("OneHot", ints("i", 0, 1), number("d", 3), array("v", [0.0]))


def pad_by_2_to_40() -> ModelProto:
    return folded("Pad", array("a", [1.0]), ints("p", 1 << 40, 0))


def pad_to_eight_gigabytes() -> ModelProto:
    return folded("Pad", array("a", [1.0]), ints("p", 1 << 30, 1 << 30))


def pad_by_reflection_of_nothing() -> ModelProto:
    return folded("Pad", array("a", np.zeros((0, 3))), ints("p", 2, 0, 2, 0), mode="reflect")


def pad_that_cuts_everything_away() -> ModelProto:
    return model([node("Pad", ["x", "p"], ["y"])], [ints("p", -9, 0, 0, 0)])


def pad_the_input_to_2_to_35() -> ModelProto:
    return model([node("Pad", ["x", "p"], ["y"])], [ints("p", 0, 1 << 35, 0, 0)])


def identity_matrix_of_2_to_40() -> ModelProto:
    shape = node("ConstantOfShape", ["s"], ["e"])
    nodes = [shape, node("EyeLike", ["e"], ["c"]), node("Add", ["x", "c"], ["y"])]
    return model(nodes, [ints("s", 1 << 20, 1 << 20)])


def identity_matrix_of_eight_gigabytes() -> ModelProto:
    return model([node("EyeLike", ["x"], ["y"])], x=port("x", 40_000, 40_000))


def triangle_of_a_huge_matrix() -> ModelProto:
    return model([node("Trilu", ["x"], ["y"])], x=port("x", 40_000, 40_000))


def outer_product_of_16_gigabytes() -> ModelProto:
    return folded("MatMul", array("a", np.ones((1 << 16, 1))), array("b", np.ones((1, 1 << 16))))


def product_of_10_to_13_operations() -> ModelProto:
    """Small operands made at import; the product takes minutes."""
    nodes = [node("ConstantOfShape", ["s"], ["a"]), node("MatMul", ["a", "a"], ["b"])]
    nodes += [node("MatMul", ["b", "b"], ["c"]), node("ReduceMax", ["c"], ["m"], keepdims=0)]
    return model([*nodes, node("Add", ["x", "m"], ["y"])], [ints("s", 8000, 8000)])


def convolution_of_10_to_12_operations() -> ModelProto:
    nodes = [node("ConstantOfShape", ["s"], ["a"]), node("ConstantOfShape", ["k"], ["w"])]
    nodes += [node("Conv", ["a", "w"], ["c"], kernel_shape=[31, 31], pads=[15] * 4)]
    nodes += [node("ReduceMax", ["c"], ["m"], keepdims=0), node("Add", ["x", "m"], ["y"])]
    return model(nodes, [ints("s", 1, 64, 512, 512), ints("k", 64, 64, 31, 31)])


def recurrence_of_a_million_steps() -> ModelProto:
    nodes = [node("ConstantOfShape", ["s"], ["a"]), node("RNN", ["a", "w", "r"], ["", "h"], hidden_size=1)]
    weights = [ints("s", 1_000_000, 1, 1), array("w", np.ones((1, 1, 1))), array("r", np.ones((1, 1, 1)))]
    return model([*nodes, node("Add", ["x", "h"], ["y"])], weights)


def pool_of_a_huge_window() -> ModelProto:
    nodes = [node("ConstantOfShape", ["s"], ["a"])]
    nodes += [node("MaxPool", ["a"], ["c"], kernel_shape=[255, 255], pads=[127] * 4)]
    nodes += [node("ReduceMax", ["c"], ["m"], keepdims=0), node("Add", ["x", "m"], ["y"])]
    return model(nodes, [ints("s", 1, 16, 512, 512)])


def sort_of_everything() -> ModelProto:
    nodes = [node("ConstantOfShape", ["s"], ["a"]), node("TopK", ["a", "k"], ["t", "at"])]
    nodes += [node("ReduceMax", ["t"], ["m"], keepdims=0), node("Add", ["x", "m"], ["y"])]
    return model(nodes, [ints("s", 60_000_000), ints("k", 5)])


def window_function_of_2_to_40() -> ModelProto:
    return folded("HannWindow", number("n", 1 << 40))


def window_function_of_negative_length() -> ModelProto:
    return folded("HannWindow", number("n", -4))


def fourier_transform_of_2_to_31() -> ModelProto:
    return model([node("DFT", ["x", "n"], ["y"])], [number("n", 1 << 31)], port("x", 1, 8, 1))


def fourier_transform_of_a_long_signal() -> ModelProto:
    return model([node("DFT", ["x"], ["y"])], x=port("x", 1, 30_000, 1))


def inverse_transform_of_a_long_signal() -> ModelProto:
    return model([node("DFT", ["x"], ["y"], inverse=1, onesided=1)], x=port("x", 1, 30_000, 2), opset=20)


def mel_filters_of_ten_million() -> ModelProto:
    operands = [number("b", 10_000_000), number("n", 20_000), number("r", 16_000), array("l", 0.0), array("h", 8000.0)]
    return folded("MelWeightMatrix", *operands)


def sequence_of_a_billion() -> ModelProto:
    nodes = [node("SplitToSequence", ["x"], ["s"]), node("ConcatFromSequence", ["s"], ["y"], axis=0)]
    return model(nodes, x=port("x", 1_000_000_000))


def split_into_2_to_40() -> ModelProto:
    return model([node("Split", ["x"], ["y"], num_outputs=1 << 40)])


def unique_of_a_huge_constant() -> ModelProto:
    nodes = [node("ConstantOfShape", ["s"], ["a"]), node("Unique", ["a"], ["u"]), node("Add", ["x", "u"], ["y"])]
    return model(nodes, [ints("s", 33_000_000)])


def positions_in_a_huge_constant() -> ModelProto:
    one = array("v", [1.0])
    nodes = [node("ConstantOfShape", ["s"], ["a"], value=one), node("NonZero", ["a"], ["p"])]
    nodes += [node("ReduceMax", ["p"], ["m"], keepdims=0), node("Cast", ["m"], ["f"], to=FLOAT)]
    return model([*nodes, node("Add", ["x", "f"], ["y"])], [ints("s", 33_000, 1000)])


def einsum_of_every_letter() -> ModelProto:
    text = ",".join("abcdefghijklmnop") + "->abcdefghijklmnop"
    names = [f"v{i}" for i in range(16)]
    nodes = [node("Einsum", names, ["c"], equation=text), node("ReduceMax", ["c"], ["m"], keepdims=0)]
    return model([*nodes, node("Add", ["x", "m"], ["y"])], [array(n, np.ones(8)) for n in names])


def einsum_of_nonsense() -> ModelProto:
    return model([node("Einsum", ["x", "x"], ["y"], equation="i\u00e9...,->..->")])


def largest_indices_of_pooling() -> ModelProto:
    made = image_model("MaxPool", kernel_shape=[200, 200], pads=[100] * 4)
    made.graph.node[0].output.append("where")
    made.graph.input[0].CopyFrom(port("x", 1, 16, 300, 300))
    made.graph.output.append(anything("where", INT64))
    return made


def scatter_over_a_huge_constant() -> ModelProto:
    return model(
        [node("MaxUnpool", ["x", "i"], ["y"], kernel_shape=[1 << 14, 1 << 14], strides=[1 << 14, 1 << 14])],
        [array("i", np.zeros((1, 1, 4, 4)), np.int64)],
        port("x", 1, 1, 4, 4),
    )


def power_pool_of_a_huge_window() -> ModelProto:
    return model(
        [node("LpPool", ["x"], ["y"], kernel_shape=[20_000, 20_000], pads=[10_000] * 4)], x=port("x", 1, 64, 8, 8)
    )


def broadcast_to_2_to_34() -> ModelProto:
    return model([node("Add", ["x", "z"], ["y"])], x=[port("x", 1 << 17, 1), port("z", 1, 1 << 17)])


# -- numbers that are none ----------------------------------------------------------------------------------------


def shape_of_nan() -> ModelProto:
    nodes = [node("Cast", ["n"], ["s"], to=INT64), node("Reshape", ["x", "s"], ["y"])]
    return model(nodes, [array("n", [NAN, 3.0])])


def shape_of_infinity() -> ModelProto:
    nodes = [node("Cast", ["n"], ["s"], to=INT64), node("Expand", ["x", "s"], ["y"])]
    return model(nodes, [array("n", [INF, 3.0])])


def shape_divided_by_zero() -> ModelProto:
    nodes = [node("Shape", ["x"], ["s"]), node("Div", ["s", "zero"], ["t"]), node("Reshape", ["x", "t"], ["y"])]
    return model(nodes, [ints("zero", 0)])


def shape_modulo_zero() -> ModelProto:
    nodes = [node("Shape", ["x"], ["s"]), node("Mod", ["s", "zero"], ["t"]), node("Reshape", ["x", "t"], ["y"])]
    return model(nodes, [ints("zero", 0)])


def shape_that_overflows() -> ModelProto:
    nodes = [node("Mul", ["a", "a"], ["s"]), node("Expand", ["x", "s"], ["y"])]
    return model(nodes, [ints("a", 3_037_000_500)])


def shift_by_2_to_40() -> ModelProto:
    weights = [array("a", [1, 2, 3], np.uint64), array("b", [1 << 40] * 3, np.uint64)]
    return folded("BitShift", *weights, dtype=TensorProto.UINT64, direction="LEFT")


def resize_by(scale: float) -> ModelProto:
    return resized(scales=(1, 1, scale, 1), mode="linear")


def resize_by_nan() -> ModelProto:
    return resize_by(NAN)


def resize_by_infinity() -> ModelProto:
    return resize_by(INF)


def resize_by_zero() -> ModelProto:
    return resize_by(0.0)


def resize_by_a_negative_scale() -> ModelProto:
    return resize_by(-2.0)


def resize_by_1e30() -> ModelProto:
    return resize_by(1e30)


def resize_to_eight_gigabytes() -> ModelProto:
    return resize_by(1e7)


def resize_by_1e_minus_30() -> ModelProto:
    return resize_by(1e-30)


def resize_to_a_negative_size() -> ModelProto:
    return resized((1, 4, -8, 8))


def resize_with_a_kernel_of_nan() -> ModelProto:
    return resized((1, 4, 9, 9), mode="cubic", cubic_coeff_a=NAN)


def shrink_of_a_long_image_with_antialias() -> ModelProto:
    """The filter of a strong reduction is as long as the image."""
    nodes = [node("Resize", ["x", "", "", "s"], ["y"], mode="linear", antialias=1)]
    return model(nodes, [ints("s", 1, 1, 30_000)], port("x", 1, 1, 60_000))


def crop_of_nan() -> ModelProto:
    return resized((1, 4, 9, 9), roi=(NAN,) * 8, coordinate_transformation_mode="tf_crop_and_resize")


# -- attributes ---------------------------------------------------------------------------------------------------

KERNEL = array("w", np.ones((4, 4, 3, 3)))


def convolution_of_stride_zero() -> ModelProto:
    return image_model("Conv", KERNEL, strides=[0, 1])


def convolution_of_stride_2_to_62() -> ModelProto:
    return image_model("Conv", KERNEL, strides=[1 << 62, 1])


def convolution_in_no_groups() -> ModelProto:
    return image_model("Conv", KERNEL, group=0)


def convolution_in_minus_one_groups() -> ModelProto:
    return image_model("Conv", KERNEL, group=-1)


def convolution_in_three_groups() -> ModelProto:
    return image_model("Conv", KERNEL, group=3)


def convolution_with_an_empty_kernel() -> ModelProto:
    return image_model("Conv", array("w", np.ones((4, 4, 0, 3))))


def convolution_with_a_kernel_too_large() -> ModelProto:
    return image_model("Conv", array("w", np.ones((4, 4, 9, 9))))


def convolution_with_padding_of_2_to_40() -> ModelProto:
    return image_model("Conv", KERNEL, pads=[1 << 40, 0, 0, 0])


def convolution_with_padding_for_four_gigabytes() -> ModelProto:
    return image_model("Conv", KERNEL, pads=[8000] * 4)


def convolution_with_negative_padding() -> ModelProto:
    return image_model("Conv", KERNEL, pads=[-4, 0, 0, 0])


def convolution_with_one_pad() -> ModelProto:
    return image_model("Conv", KERNEL, pads=[1])


def convolution_dilated_2_to_40_times() -> ModelProto:
    return image_model("Conv", KERNEL, dilations=[1 << 40, 1])


def convolution_of_a_vector() -> ModelProto:
    return model([node("Conv", ["x", "w"], ["y"])], [KERNEL])


def convolution_with_a_bias_too_long() -> ModelProto:
    return image_model("Conv", KERNEL, array("b", np.ones(5)))


def convolution_with_an_unknown_padding() -> ModelProto:
    return image_model("Conv", KERNEL, auto_pad="SAME_SIDEWAYS")


def transposed_convolution_to_2_to_40() -> ModelProto:
    return image_model("ConvTranspose", KERNEL, strides=[1 << 40, 1])


def transposed_convolution_to_nothing() -> ModelProto:
    return image_model("ConvTranspose", KERNEL, pads=[50, 50, 50, 50])


def pooling_over_nothing() -> ModelProto:
    return image_model("MaxPool", kernel_shape=[0, 2])


def pooling_over_more_than_the_image() -> ModelProto:
    return image_model("AveragePool", kernel_shape=[20, 20])


def local_response_of_2_to_40() -> ModelProto:
    return image_model("LRN", size=1 << 40)


def blocks_of_zero() -> ModelProto:
    return image_model("DepthToSpace", blocksize=0)


def blocks_of_2_to_40() -> ModelProto:
    return image_model("SpaceToDepth", blocksize=1 << 40)


def groups_of_zero() -> ModelProto:
    made = image_model("GroupNormalization", array("s", np.ones(4)), array("b", np.ones(4)), num_groups=0)
    made.opset_import[0].version = 21
    return made


def softmax_over_axis_99() -> ModelProto:
    return model([node("Softmax", ["x"], ["y"], axis=99)])


def transpose_of_one_axis_twice() -> ModelProto:
    return model([node("Transpose", ["x"], ["y"], perm=[0, 0])])


def reshape_with_two_unknowns() -> ModelProto:
    return model([node("Reshape", ["x", "s"], ["y"])], [ints("s", -1, -1)])


def reshape_to_another_size() -> ModelProto:
    return model([node("Reshape", ["x", "s"], ["y"])], [ints("s", 7)])


def reshape_to_a_size_that_overflows() -> ModelProto:
    return model([node("Reshape", ["x", "s"], ["y"])], [ints("s", 1 << 62, 4, 6)])


def gather_beyond_the_end() -> ModelProto:
    return folded("Gather", array("a", [1.0, 2.0]), ints("i", 7))


def slice_in_steps_of_zero() -> ModelProto:
    weights = [ints("a", 0), ints("b", 2), ints("c", 0), ints("d", 0)]
    return model([node("Slice", ["x", "a", "b", "c", "d"], ["y"])], weights)


def top_of_more_than_there_are() -> ModelProto:
    return model([node("TopK", ["x", "k"], ["y", "at"])], [ints("k", 99)])


def attention_of_no_heads() -> ModelProto:
    nodes = [node("Attention", ["x", "x", "x"], ["y"], q_num_heads=0, kv_num_heads=0)]
    return model(nodes, x=port("x", 1, 4, 8), opset=23)


def recurrence_with_weights_of_another_size() -> ModelProto:
    weights = [array("w", np.ones((1, 16, 3))), array("r", np.ones((1, 16, 5)))]
    return model([node("LSTM", ["x", "w", "r"], ["y"], hidden_size=4)], weights, port("x", 6, 1, 3))


def normalization_with_statistics_of_another_size() -> ModelProto:
    return image_model("BatchNormalization", *(array(n, np.ones(3)) for n in "sbmv"))


def quantization_by_no_scales() -> ModelProto:
    return model([node("QuantizeLinear", ["x", "s"], ["q"]), node("Cast", ["q"], ["y"], to=FLOAT)], [array("s", [])])


def function_with_a_tensor_of_2_to_40() -> ModelProto:
    return constant_in_a_function(bare("w", FLOAT, 1 << 40))


TOO_MANY = "elements are allowed"
UNVERIFIED = ("--verify", "none")  # legal, and too much work for a test
NEGATIVE = "must not be negative"

FILES: tuple[Hostile, ...] = (
    Hostile(input_of_2_to_40, 3, TOO_MANY),
    Hostile(input_whose_size_overflows, 3, TOO_MANY),
    Hostile(input_of_eight_gigabytes, 3, TOO_MANY),
    Hostile(input_with_a_negative_dimension, 2, "dimension 1 of input 'x'"),
    Hostile(input_of_a_thousand_dimensions, 3, "1000 dimensions; at most"),
    Hostile(weights_of_2_to_40, 3, "'w'"),
    Hostile(weights_whose_size_overflows, 3, "'w'"),
    Hostile(weights_with_a_negative_dimension, 3, "'w'"),
    Hostile(weights_of_a_thousand_dimensions, 3, "1000 dimensions; at most"),
    Hostile(weights_without_data, 3, "w"),
    Hostile(weights_with_too_much_data, 3, "'w' has 28 bytes"),
    Hostile(weights_with_data_in_two_fields, 3, "w"),
    Hostile(sparse_weights_of_eight_gigabytes, 3, TOO_MANY),
    Hostile(sparse_weights_with_an_index_outside, 3, "out of range [0, 2]"),
    Hostile(sparse_weights_with_a_negative_index, 3, "out of range [0, 2]"),
    Hostile(sparse_constant_of_eight_gigabytes, 3, TOO_MANY),
    Hostile(shape_missing, 2, "dimension 0 of input 'x' is symbolic (batch): bind it, such as --shape x=1x3"),
    Hostile(rank_missing, 2, "--shape x=1x3x8"),
    Hostile(constant_of_16_gigabytes, 3, TOO_MANY),
    Hostile(constant_of_a_negative_shape, 3, NEGATIVE),
    Hostile(constant_of_shape_zero_by_2_to_62, 3, TOO_MANY),
    Hostile(constant_of_four_gigabytes, 3, TOO_MANY),
    Hostile(many_constants_of_200_megabytes, 0, options=UNVERIFIED, heavy=True),
    Hostile(expand_to_2_to_40, 3, TOO_MANY),
    Hostile(expand_to_four_gigabytes, 3, TOO_MANY),
    Hostile(expand_to_a_negative_shape, 3, NEGATIVE),
    Hostile(tile_2_to_60_times, 3, TOO_MANY),
    Hostile(tile_to_eight_gigabytes, 3, TOO_MANY),
    Hostile(tile_a_negative_number_of_times, 3, "repeats=[-2]"),
    Hostile(range_to_2_to_62, 3, TOO_MANY),
    Hostile(range_of_16_gigabytes, 3, TOO_MANY),
    Hostile(range_to_nan, 3, "limit=nan"),
    Hostile(range_in_steps_of_1e_minus_30, 3, TOO_MANY),
    Hostile(range_in_steps_of_zero, 3, "delta=0"),
    Hostile(one_hot_of_depth_2_to_40, 3, "depth [1099511627776.0]"),
    Hostile(one_hot_of_eight_gigabytes, 3, TOO_MANY),
    Hostile(one_hot_of_a_negative_depth, 3, "depth"),
    Hostile(one_hot_of_no_depth, 3, "depth []"),
    Hostile(one_hot_of_one_value, 3, "two values are needed"),
    Hostile(pad_by_2_to_40, 3, TOO_MANY),
    Hostile(pad_to_eight_gigabytes, 3, TOO_MANY),
    Hostile(pad_by_reflection_of_nothing, 3, "empty axis"),
    Hostile(pad_that_cuts_everything_away, 3, "crops more than the length 2 of axis 0"),
    Hostile(pad_the_input_to_2_to_35, 3, TOO_MANY),
    Hostile(identity_matrix_of_2_to_40, 3, TOO_MANY),
    Hostile(identity_matrix_of_eight_gigabytes, 3, "are allowed"),
    Hostile(triangle_of_a_huge_matrix, 3, "are allowed"),
    Hostile(outer_product_of_16_gigabytes, 3, TOO_MANY),
    Hostile(product_of_10_to_13_operations, 0, options=UNVERIFIED, heavy=True),
    Hostile(convolution_of_10_to_12_operations, 0, options=UNVERIFIED, heavy=True),
    Hostile(recurrence_of_a_million_steps, 0, options=UNVERIFIED, heavy=True),
    Hostile(pool_of_a_huge_window, 0, options=UNVERIFIED, heavy=True),
    Hostile(sort_of_everything, 0, options=UNVERIFIED, heavy=True),
    Hostile(window_function_of_2_to_40, 3, TOO_MANY),
    Hostile(window_function_of_negative_length, 3, "do not broadcast"),
    Hostile(fourier_transform_of_2_to_31, 3, "are allowed"),
    Hostile(fourier_transform_of_a_long_signal, 3, "are allowed"),
    Hostile(inverse_transform_of_a_long_signal, 3, "are allowed"),
    Hostile(mel_filters_of_ten_million, 3, "are allowed"),
    Hostile(sequence_of_a_billion, 3, "allowed"),
    Hostile(split_into_2_to_40, 3, "num_outputs"),
    Hostile(unique_of_a_huge_constant, 3, "are allowed"),
    Hostile(positions_in_a_huge_constant, 3, "are allowed"),
    Hostile(einsum_of_every_letter, 3, "are allowed"),
    Hostile(einsum_of_nonsense, 3, "Einsum"),
    Hostile(largest_indices_of_pooling, 3, "are allowed"),
    Hostile(scatter_over_a_huge_constant, 3, "are allowed"),
    Hostile(power_pool_of_a_huge_window, 3, "are allowed"),
    Hostile(broadcast_to_2_to_34, 3, TOO_MANY),
    Hostile(shape_of_nan, 3, "Reshape 'y'"),
    Hostile(shape_of_infinity, 3, "Expand 'y'"),
    Hostile(shape_divided_by_zero, 3, "by zero"),
    Hostile(shape_modulo_zero, 3, "by zero"),
    Hostile(shape_that_overflows, 3, "Expand 'y'"),
    Hostile(shift_by_2_to_40, 0, heavy=True),
    Hostile(resize_by_nan, 3, "finite positive numbers"),
    Hostile(resize_by_infinity, 3, "finite positive numbers"),
    Hostile(resize_by_zero, 3, "finite positive numbers"),
    Hostile(resize_by_a_negative_scale, 3, "finite positive numbers"),
    Hostile(resize_by_1e30, 3, TOO_MANY),
    Hostile(resize_to_eight_gigabytes, 3, "are allowed"),
    Hostile(resize_by_1e_minus_30, 0, heavy=True),
    Hostile(resize_to_a_negative_size, 3, NEGATIVE),
    Hostile(resize_with_a_kernel_of_nan, 3, "cubic_coeff_a"),
    Hostile(shrink_of_a_long_image_with_antialias, 0, heavy=True),
    Hostile(crop_of_nan, 3, "roi"),
    Hostile(convolution_of_stride_zero, 3, "strides=[0, 1]"),
    Hostile(convolution_of_stride_2_to_62, 3, "strides"),
    Hostile(convolution_in_no_groups, 3, "0 groups"),
    Hostile(convolution_in_minus_one_groups, 3, "-1 groups"),
    Hostile(convolution_in_three_groups, 3, "3 groups"),
    Hostile(convolution_with_an_empty_kernel, 3, "kernel"),
    Hostile(convolution_with_a_kernel_too_large, 3, "window of 9 over a padded length of 8"),
    Hostile(convolution_with_padding_of_2_to_40, 3, "pads"),
    Hostile(convolution_with_padding_for_four_gigabytes, 3, TOO_MANY),
    Hostile(convolution_with_negative_padding, 3, "pads=[-4, 0, 0, 0]"),
    Hostile(convolution_with_one_pad, 3, "pads=[1]"),
    Hostile(convolution_dilated_2_to_40_times, 3, "dilations"),
    Hostile(convolution_of_a_vector, 3, "spatial dimensions"),
    Hostile(convolution_with_a_bias_too_long, 3, "bias"),
    Hostile(convolution_with_an_unknown_padding, 3, "auto_pad='SAME_SIDEWAYS'"),
    Hostile(transposed_convolution_to_2_to_40, 3, "strides"),
    Hostile(transposed_convolution_to_nothing, 3, "pads"),
    Hostile(pooling_over_nothing, 3, "kernel_shape"),
    Hostile(pooling_over_more_than_the_image, 3, "window of 20 over a padded length of 8"),
    Hostile(local_response_of_2_to_40, 3, "size"),
    Hostile(blocks_of_zero, 3, "blocksize=0"),
    Hostile(blocks_of_2_to_40, 3, "blocksize"),
    Hostile(groups_of_zero, 3, "GroupNormalization"),
    Hostile(softmax_over_axis_99, 3, "axis 99"),
    Hostile(transpose_of_one_axis_twice, 3, "perm=[0, 0]"),
    Hostile(reshape_with_two_unknowns, 3, "shape [-1, -1]"),
    Hostile(reshape_to_another_size, 3, "cannot reshape [2, 3] to [7]"),
    Hostile(reshape_to_a_size_that_overflows, 3, "cannot reshape [2, 3]"),
    Hostile(gather_beyond_the_end, 3, "index"),
    Hostile(slice_in_steps_of_zero, 3, "steps=[0]"),
    Hostile(top_of_more_than_there_are, 3, "k=99"),
    Hostile(attention_of_no_heads, 3, "q_num_heads=0"),
    Hostile(recurrence_with_weights_of_another_size, 3, "hidden_size=4"),
    Hostile(normalization_with_statistics_of_another_size, 3, "BatchNormalization"),
    Hostile(quantization_by_no_scales, 3, "QuantizeLinear"),
    Hostile(function_with_a_tensor_of_2_to_40, 3, "w"),
)
