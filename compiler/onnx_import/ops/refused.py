"""Operators that are refused on purpose, each with the reason; anything else is "not a supported operator"."""

from __future__ import annotations

from edgec.onnx_import.node import Importer, Node, Table


def because(reason: str) -> Importer:
    def run(node: Node) -> list[None]:
        node.refuse(reason)

    return run


RANDOM = "is random, and a compiled model must give the same result every time"
STRINGS = "works on strings, which are not supported"
SHAPE_OF_DATA = "makes a result whose shape depends on the data"
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
    "ImageDecoder": because("decodes compressed images"),
    "MaxRoiPool": because("pools regions whose size depends on the data"),
    "NonMaxSuppression": because(SHAPE_OF_DATA),
}  # fmt: skip
