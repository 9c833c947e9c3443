"""Operators that are refused on purpose, each with the reason; anything else is "not a supported operator"."""

from __future__ import annotations

from edgec.onnx_import.node import Importer, Node, Table


def because(reason: str) -> Importer:
    def run(node: Node) -> list[None]:
        node.refuse(reason)

    return run


RANDOM = "is random, and a compiled model is not; numbers that were drawn outside are supported as an input"
STRINGS = "works on strings; models that begin behind them, with numbers, are supported"
SHAPE_OF_DATA = "makes a shape that depends on the data; models that end before it, at boxes and scores, are supported"
TRAINING = "belongs to training; only inference is supported"

REFUSED: Table = {
    **{
        name: because(RANDOM)
        for name in (
            "Bernoulli", "Multinomial", "RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike",
        )
    },
    **{name: because(STRINGS) for name in ("RegexFullMatch", "StringConcat", "StringNormalizer", "StringSplit")},
    **{f"ai.onnx.preview.training.{name}": because(TRAINING) for name in ("Adagrad", "Adam", "Gradient", "Momentum")},
    "ImageDecoder": because("decodes compressed images; models that begin behind it, with pixels, are supported"),
    "MaxRoiPool": because("pools regions whose size depends on the data; RoiAlign with a sampling_ratio is supported"),
    "NonMaxSuppression": because(SHAPE_OF_DATA),
}  # fmt: skip
