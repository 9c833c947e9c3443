"""The passes by name, and the order in which targets run them."""

from __future__ import annotations

from collections.abc import Callable

from edgec.passes.absorb_qdq import absorb_qdq
from edgec.passes.absorb_transpose import absorb_transpose
from edgec.passes.bound_weights import bound_weights
from edgec.passes.equalize_ranges import equalize_ranges
from edgec.passes.expand_conv1d import expand_conv1d
from edgec.passes.expand_doubles import expand_doubles
from edgec.passes.flatten_transposes import flatten_transposes
from edgec.passes.float8_weights import float8_weights
from edgec.passes.fold_batch_norm import fold_batch_norm
from edgec.passes.fold_input_affine import fold_input_affine
from edgec.passes.fold_into_table import fold_into_table
from edgec.passes.fold_pad import fold_pad
from edgec.passes.fuse_activation import fuse_activation
from edgec.passes.fuse_residual import fuse_residual
from edgec.passes.gather_to_slice import gather_to_slice
from edgec.passes.lay_flat import lay_flat
from edgec.passes.lower_float8 import lower_float8
from edgec.passes.lower_integer_matmul import lower_integer_matmul
from edgec.passes.lower_requant import lower_requant
from edgec.passes.merge_duplicates import merge_duplicates
from edgec.passes.multiply_bf16 import multiply_bf16
from edgec.passes.multiply_float8 import multiply_float8
from edgec.passes.mxfp4_weights import mxfp4_weights
from edgec.passes.narrow_to_halves import narrow_to_halves
from edgec.passes.palettize import palettize
from edgec.passes.quantize_matmuls import quantize_matmuls
from edgec.passes.quantize_weights import quantize_weights
from edgec.passes.raise_dequantize import raise_dequantize
from edgec.passes.recognize_attention import recognize_attention
from edgec.passes.recognize_float8 import recognize_float8
from edgec.passes.recognize_gelu import recognize_gelu
from edgec.passes.recognize_hard_swish import recognize_hard_swish
from edgec.passes.recognize_layer_norm import recognize_layer_norm
from edgec.passes.recognize_one_hot import recognize_one_hot
from edgec.passes.recognize_rms_norm import recognize_rms_norm
from edgec.passes.recognize_silu import recognize_silu
from edgec.passes.recognize_softmax import recognize_softmax
from edgec.passes.reduce_strength import reduce_strength
from edgec.passes.remove_dead_code import remove_dead_code
from edgec.passes.remove_identity import remove_identity
from edgec.passes.sink_reshapes import sink_reshapes
from edgec.passes.sink_transposes import sink_transposes
from edgec.passes.sparsify import sparsify
from edgec.passes.split_recurrent import split_recurrent
from edgec.passes.to_channels_last import to_channels_last
from edgec.passes.unfold_conv_transpose import unfold_conv_transpose
from edgec.passes.widen_halves import widen_halves
from edgec.passes.widen_quantised import widen_quantised

assert __name__ == "edgec.passes", "import edgec.passes, not the folder passes"

PASSES: dict[str, Callable[..., bool]] = {
    f.__name__: f
    for f in (
        absorb_qdq,
        absorb_transpose,
        bound_weights,
        equalize_ranges,
        expand_conv1d,
        expand_doubles,
        flatten_transposes,
        float8_weights,
        fold_batch_norm,
        fold_input_affine,
        fold_into_table,
        fold_pad,
        fuse_activation,
        fuse_residual,
        gather_to_slice,
        lay_flat,
        lower_float8,
        lower_integer_matmul,
        lower_requant,
        merge_duplicates,
        multiply_bf16,
        multiply_float8,
        mxfp4_weights,
        narrow_to_halves,
        palettize,
        quantize_matmuls,
        quantize_weights,
        raise_dequantize,
        recognize_attention,
        recognize_float8,
        recognize_gelu,
        recognize_hard_swish,
        recognize_layer_norm,
        recognize_one_hot,
        recognize_rms_norm,
        recognize_silu,
        recognize_softmax,
        reduce_strength,
        remove_dead_code,
        remove_identity,
        sink_reshapes,
        sink_transposes,
        sparsify,
        split_recurrent,
        to_channels_last,
        unfold_conv_transpose,
        widen_halves,
        widen_quantised,
    )
}

# long-hand forms, innermost first: softmax before the attention around it, norms before their parts are changed
LONG_HAND: tuple[str, ...] = (
    "recognize_one_hot",
    "recognize_gelu",
    "recognize_silu",
    "recognize_hard_swish",
    "recognize_softmax",
    "recognize_layer_norm",
    "recognize_rms_norm",
    "recognize_attention",
    "fold_into_table",  # functions of an embedding are another embedding
    "reduce_strength",  # what was not recognised
    "gather_to_slice",  # slices commute with transposes, gathers do not
)

# up to where every operator is what it will be, but for what is fused into the operator before it
SETTLED: tuple[str, ...] = (
    # what is computed in float32, so that every other pass sees it; beside bytes, what is stored in it, too
    "widen_quantised",
    "widen_halves",
    # clean up, so that patterns see one form
    "remove_dead_code",
    "remove_identity",
    "merge_duplicates",
    "recognize_float8",
    "raise_dequantize",  # before patterns and layout: what moved bytes moves floats
    *LONG_HAND,
    # settle the layout, so that what stands between a convolution and what it fuses with is gone
    "fold_pad",
    # after the padding is known, before the layout stands between a frame's preparation and the convolution
    "fold_input_affine",
    "expand_conv1d",
    "to_channels_last",
    "sink_transposes",
    "lay_flat",  # before reshapes sink: it makes some
    "sink_reshapes",
    "remove_identity",
    "merge_duplicates",
    "remove_dead_code",
    "recognize_layer_norm",  # the scale and bias of a norm that stood between transposes
    "recognize_rms_norm",
    "absorb_transpose",  # those that sinking left in front of a matmul
    "expand_doubles",  # behind every recogniser: it takes some apart
    # constants into weights before anything is fused behind them; what no producer took, the consumer may
    "fold_batch_norm",
    "fold_input_affine",
)

FUSED: tuple[str, ...] = (
    # residuals before activations, which come last in conv
    "fuse_residual",
    "fuse_activation",
    "flatten_transposes",
    "remove_identity",
    "merge_duplicates",
    "remove_dead_code",
)

# encoded constants that meet no encoded value become floats
CPU_FLOAT: tuple[str, ...] = (*SETTLED, "lower_requant", *FUSED)

# what stands before encodings are chosen: clamps are part of the operator whose result is encoded
BEFORE_ENCODING: tuple[str, ...] = (
    *SETTLED,
    "fuse_residual{images=1}",  # before activations, which come last
    "fuse_activation{clamps=1}",
    "unfold_conv_transpose",  # behind activations, which its convolution then has
    "merge_duplicates",
    "remove_dead_code",
)

# of a model that says itself what is quantised, and how
QUANTISED: tuple[str, ...] = (*BEFORE_ENCODING, "absorb_qdq")

# for packages of Core ML, which are emitted from the graph: no layout, nothing fused into what runs it
COREML: tuple[str, ...] = (
    "widen_quantised",
    "remove_dead_code",
    "remove_identity",
    "merge_duplicates",
    "raise_dequantize",
    *LONG_HAND,
    "fold_pad",
    "fold_input_affine",
    "fold_batch_norm",
    "absorb_qdq",  # what a model says is quantised is quantize and dequantize of Core ML, around its int8 weights
    "fold_input_affine",  # behind it: a scale in front of a convolution, as pictures have
    "flatten_transposes",  # those of axes of length 1
    "remove_identity",
    "merge_duplicates",
    "remove_dead_code",
)
