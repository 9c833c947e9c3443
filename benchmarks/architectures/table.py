"""All architectures: how each is made, and the ranges of its sample inputs where they are not standard normal."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from architectures import image, sound, tokens
from onnx import ModelProto


@dataclass(frozen=True)
class Architecture:
    build: Callable[[], ModelProto]
    ranges: Mapping[str, tuple[float, float]] = field(default_factory=dict)

    def bytes(self) -> bytes:
        """The ONNX file, the same each time."""
        return bytes(self.build().SerializeToString(deterministic=True))


ARCHITECTURES: dict[str, Architecture] = {
    "mobilenet_v1": Architecture(image.mobilenet_v1),
    "mobilenet_v2": Architecture(image.mobilenet_v2),
    "mobilenet_v3": Architecture(image.mobilenet_v3),
    "resnet8": Architecture(image.resnet8),
    "convnext": Architecture(image.convnext),
    "unet": Architecture(image.unet),
    "ds_cnn": Architecture(sound.ds_cnn),
    "autoencoder": Architecture(sound.autoencoder),
    "tcn": Architecture(sound.tcn),
    "gru_lstm": Architecture(sound.gru_lstm),
    "vit": Architecture(tokens.vit),
    "llama": Architecture(
        tokens.llama, {"ids": (0, tokens.VOCABULARY - 1), "pos": (tokens.PAST, tokens.PAST + tokens.STEPS - 1)}
    ),
}
