"""`--precision w8` and `w4`: weights of bytes or of four bits in groups, everything else float32.

Weights are decoded in registers, so that nothing but their bytes changes: the graph means what floats with the rounded
weights mean. With calibration data they are rounded by what they are multiplied with. With a bound on what may be lost,
the weights that disturb most have eight bits for four, or are floats.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any

from edgec.calibration import Calibration
from edgec.encode_weights import (
    MOMENT_BYTES,
    encodable,
    encode_weights,
    floats_because,
    form_for,
    in_blocks,
    met_by,
    moment_bytes,
    with_plain_weights,
)
from edgec.flat_weights import matrix_of
from edgec.forms_within import Form, Forms, Wanted, forms_within
from edgec.ir.graph import Graph, Module, Op
from edgec.ir.macs import macs_of, macs_share, total_macs
from edgec.ir.verify import verify_module
from edgec.low_rank import check_rank, low_rank_facts, rank_for
from edgec.operand_rows import Met
from edgec.passes.split_recurrent import split_recurrent
from edgec.search import beyond_bound

WEIGHT_ONLY: Mapping[str, Form] = {"w8": "i8", "w4": "i4"}


def weight_only(
    module: Module, precision: str, data: Calibration | None, rank: int = 0, wanted: Wanted | None = None,
    lanes: int = 4,
) -> dict[str, Any]:  # fmt: skip
    """Encodes the weights of the module's graph; what the receipt says of it. The graph stands behind all passes.
    `data` is what weights are rounded by. `lanes`: the floats of a register, which factors of a rank are filled up
    to."""
    (graph,) = module.entries.values()
    split_recurrent(graph)
    chosen = [op for op in graph.ops if encodable(op)]
    check_rank(chosen, rank, lanes)
    forms: Forms = {op: "i4" if form_for(op, WEIGHT_ONLY[precision]) == "i4" else "i8" for op in chosen}
    searched: dict[str, Any] = {}
    met = _met_once(graph, chosen, data) if data is not None else {}
    thin = rank, lanes
    if wanted is not None:
        forms, searched = forms_within(graph, forms, lambda copied, of: _encode(copied, of, data, met, thin), wanted)
    layers = _encode(graph, forms, data, met, thin)
    verify_module(module, after="the choice of encodings")
    left = with_plain_weights(graph)
    looked_at = wanted.data if wanted is not None else data
    return {
        "precision": precision,
        "calibration": looked_at.facts() if looked_at is not None else None,
        **searched,
        "rounding": "gptq" if data is not None else "nearest",
        "rounded_in_blocks": in_blocks(layers) if data is not None else [],
        **low_rank_facts(layers, rank, lanes),
        "coded_operators": len(layers),
        "coded_macs_share": macs_share(sum(macs_of(op) for op in layers), total_macs(graph)),
        "kept_in_floats": beyond_bound(op for op in chosen if op not in forms),
        "weights_in_floats": [op.label for op in left],
        "refused": [floats_because(op) for op in left if not encodable(op)],
        "weights": list(layers.values()),
    }


def _met_once(graph: Graph, ops: Sequence[Op], data: Calibration) -> dict[str, Met]:
    """What weights meet, by the name of the constant, for all trials of a search; none where that is too much to hold,
    and none of constants that several operators share."""
    uses = graph.constant_uses()
    taken = [op for op in ops if uses[str(matrix_of(op).const)] == 1]
    if sum(map(moment_bytes, taken)) > MOMENT_BYTES:
        return {}
    return {str(matrix_of(op).const): met for op, met in met_by(graph, taken, data.learned)}


def _encode(
    graph: Graph, forms: Forms, data: Calibration | None, met: Mapping[str, Met], rank: tuple[int, int]
) -> dict[Op, dict[str, Any]]:  # fmt: skip
    """What the receipt says of each."""
    if data is None:
        return {op: encode_weights(graph, op, form, rank=rank_for(op, *rank)) for op, form in forms.items()}
    known = {op: met[str(matrix_of(op).const)] for op in forms if matrix_of(op).const in met}
    rest = met_by(graph, [op for op in forms if op not in known], data.learned)
    both = chain(rest, known.items())
    found = {op: encode_weights(graph, op, forms[op], of, rank=rank_for(op, *rank)) for op, of in both}
    return {op: found[op] for op in forms}
