"""The passes by name, and the order in which targets run them."""

from __future__ import annotations

from collections.abc import Callable

from edgec.passes.expand_conv1d import expand_conv1d
from edgec.passes.expand_doubles import expand_doubles
from edgec.passes.flatten_transposes import flatten_transposes
from edgec.passes.fold_batch_norm import fold_batch_norm
from edgec.passes.fold_pad import fold_pad
from edgec.passes.fuse_activation import fuse_activation
from edgec.passes.fuse_residual import fuse_residual
from edgec.passes.merge_duplicates import merge_duplicates
from edgec.passes.remove_dead_code import remove_dead_code
from edgec.passes.remove_identity import remove_identity
from edgec.passes.sink_transposes import sink_transposes
from edgec.passes.to_channels_last import to_channels_last
from edgec.passes.widen_halves import widen_halves

assert __name__ == "edgec.passes", "import edgec.passes, not the folder passes"

PASSES: dict[str, Callable[..., bool]] = {
    f.__name__: f
    for f in (
        expand_conv1d,
        expand_doubles,
        flatten_transposes,
        fold_batch_norm,
        fold_pad,
        fuse_activation,
        fuse_residual,
        merge_duplicates,
        remove_dead_code,
        remove_identity,
        sink_transposes,
        to_channels_last,
        widen_halves,
    )
}

# Halves and doubles first, so that every other pass sees what is computed. Clean up, settle the layout (so that what
# stands between a convolution and what it fuses with is gone), then fold constants into weights before anything is
# fused behind them; residuals before activations, which come last in conv.
CPU_FLOAT: tuple[str, ...] = (
    "widen_halves",
    "expand_doubles",
    "remove_dead_code",
    "remove_identity",
    "merge_duplicates",
    "fold_pad",
    "expand_conv1d",
    "to_channels_last",
    "sink_transposes",
    "remove_dead_code",
    "fold_batch_norm",
    "fuse_residual",
    "fuse_activation",
    "flatten_transposes",
    "remove_identity",
    "merge_duplicates",
    "remove_dead_code",
)
