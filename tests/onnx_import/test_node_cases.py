"""A representative case of every family through the importer and the interpreter; all of them: conformance/sweep.py."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

CASES = [
    "abs", "add_bcast", "and_bcast4v3d", "argmax_keepdims_random_select_last_index", "attention_4d_gqa_causal",
    "averagepool_2d_ceil", "basic_conv_with_padding", "batchnorm_epsilon", "bitshift_right_int8_negative_shift",
    "cast_FLOAT_to_FLOAT16", "cast_FLOAT_to_FLOAT8E4M3FN",
    "clip_inbounds", "col2im_pads", "concat_2d_axis_1", "convtranspose_output_shape",
    "convinteger_with_padding", "cumprod_1d_reverse_exclusive", "deform_conv_with_mask_bias",
    "dequantizelinear_axis", "dft_axis", "einsum_batch_matmul", "expand_dim_changed", "gather_negative_indices",
    "gemm_all_attributes", "gridsample_bicubic", "group_normalization_epsilon", "gru_bidirectional", "if",
    "layer_normalization_3d_axis1_epsilon", "logsoftmax_axis_1", "loop13_seq", "lrn", "lstm_with_peepholes",
    "matmul_1d_3d", "maxpool_with_argmax_2d_precomputed_strides", "mod_mixed_sign_float16",
    "nllloss_NCd1d2_with_weight", "nonmaxsuppression_single_box", "onehot_negative_indices", "prelu_broadcast",
    "qlinearconv",
    "quantizelinear_axis", "reduce_log_sum_exp_keepdims_example", "reshape_zero_and_negative_dim",
    "resize_downsample_scales_cubic_antialias", "reversesequence_batch", "roialign_aligned_true", "scan9_sum",
    "scatternd_add", "sequence_map_add_1_sequence_1_tensor", "slice_neg_steps", "split_variable_parts_2d_opset18",
    "stft", "tfidfvectorizer_tf_only_bigrams_skip0", "top_k", "tril_neg", "unique_not_sorted_without_axis",
    "where_example",
]  # fmt: skip

# cases that must be refused, with what the sentence says
REFUSED = {
    "loop13_seq": "sequence",
    "sequence_map_add_1_sequence_1_tensor": "sequence",
    "nonmaxsuppression_single_box": "depends on the data",
}


def load_sweep() -> ModuleType:
    path = Path(__file__).parents[1] / "conformance" / "sweep.py"
    spec = importlib.util.spec_from_file_location("sweep", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["sweep"] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def sweep() -> ModuleType:
    return load_sweep()


@pytest.fixture(scope="module")
def cases(sweep: ModuleType) -> dict[str, Any]:
    found: dict[str, Any] = sweep.operator_cases()
    return found


@pytest.mark.parametrize("name", CASES)
def test_case(name: str, sweep: ModuleType, cases: dict[str, Any], tmp_path: Path) -> None:
    verdict = sweep.check(cases[f"test_{name}"], tmp_path)
    if name in REFUSED:
        assert verdict.kind == "refused"
        assert REFUSED[name] in verdict.text
    else:
        assert (verdict.kind, verdict.rounding) == ("right", False), verdict.text
