"""TfIdfVectorizer over integers against onnxruntime, which takes weights by gram as the standard says; onnx's own
evaluator takes them by column."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from edgec.ir import interp
from edgec.ir.errors import ModelError, UnsupportedError
from edgec.onnx_import.importer import import_model
from edgec.reference import Reference

# five 1-grams, four 2-grams, two 3-grams, which leave a column of the result free
POOL = [2, 3, 5, 0, 1, 0, 1, 2, 2, 3, 1, 5, 0, 0, 1, 2, 3, 3, 3]
SOUND = {
    "pool_int64s": POOL, "ngram_counts": [0, 5, 13], "ngram_indexes": [3, 1, 0, 6, 2, 5, 11, 4, 7, 9, 8],
    "min_gram_length": 1, "max_gram_length": 3, "max_skip_count": 1, "mode": "TF",
    "weights": [0.5, 1.0, 2.0, -1.0, 0.25, 3.0, 1.5, 4.0, 0.75, 2.5, 6.0],
}  # fmt: skip


def written(folder: Path, dims: list[int], **changes: Any) -> Path:
    node = helper.make_node("TfIdfVectorizer", ["x"], ["y"], **{**SOUND, **changes})
    ports = [helper.make_tensor_value_info("x", TensorProto.INT64, dims), helper.make_tensor_value_info("y", 1, None)]
    graph = helper.make_graph([node], "g", ports[:1], ports[1:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    onnx.save(model, folder / "m.onnx")
    return folder / "m.onnx"


@pytest.mark.parametrize("dims", [[4, 30], [25], [2, 1]], ids=str)
@pytest.mark.parametrize("changes", [
    {}, {"mode": "IDF", "weights": None}, {"mode": "IDF"}, {"mode": "TFIDF"}, {"max_skip_count": 4},
    {"min_gram_length": 2, "max_skip_count": 0}, {"max_gram_length": 2}, {"min_gram_length": 3, "max_skip_count": 40},
], ids=str)  # fmt: skip
def test_counts(dims: list[int], changes: dict[str, Any], tmp_path: Path) -> None:
    path = written(tmp_path, dims, **changes)
    x = np.random.default_rng(0).integers(0, 4, dims)
    found = interp.run(import_model(path).entries["main"], {"x": x})["y"]
    np.testing.assert_array_equal(found, Reference(path, {}).run({"x": x})["y"])
    assert found.any() or dims == [2, 1]


def test_broken_pools(tmp_path: Path) -> None:
    for changes, sentence in (
        ({"ngram_counts": [0, 5, 14]}, "has 9 items in its pool of 2-grams"),
        ({"ngram_counts": [0, 13, 5]}, "has ngram_counts that do not ascend from 0 to the pool's end"),
        ({"ngram_indexes": [0, 1]}, "has 2 ngram_indexes for 11 n-grams"),
        ({"mode": "COUNT"}, "needs a pool, ngram_counts, ngram_indexes, a mode of TF, IDF, TFIDF"),
        ({"mode": "IDF", "weights": [1.0]}, "has 1 weights for 11 n-grams"),
    ):
        with pytest.raises(ModelError, match=f"TfIdfVectorizer 'y' {sentence}"):
            import_model(written(tmp_path, [5], **changes))
    with pytest.raises(UnsupportedError, match="has ngram_indexes that are negative or repeat"):
        import_model(written(tmp_path, [5], ngram_indexes=[0] * 11))
