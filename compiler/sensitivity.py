"""How much each operator on bytes disturbs the model's outputs, alone and together with the others.

The error of an operator is what its bytes do to its result on real operands, computed by the kernels that ship. It is
added to the result in the float model, and d is what the outputs change by. To first order the errors of several
operators add up, so that the error of a set is the sum of all <d_i, d_j> of its members: the products of different
operators are the terms between layers (C. Schaefer et al., "Augmenting Hessians with Inter-Layer Dependencies for
Mixed-Precision Post-Training Quantization", 2023, where they come from a Hessian; here they are measured).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from edgec.graph_values import graph_values
from edgec.ir.copying import copy_module
from edgec.ir.graph import Graph, Op, Value
from edgec.ir.types import FLOATS
from edgec.targets.c.devices import Device

Array = np.ndarray[Any, Any]
Feeds = Mapping[str, Array]
# puts operators of a copied graph on bytes, each between encodings of its own; the mappings are from the original
Narrow = Callable[[Graph, Mapping[Op, Op], Mapping[Value, Value]], None]

PROBED = 8  # samples on which operators are disturbed
MOST_ELEMENTS = 1 << 16  # of an output that are looked at
MOST_CHANGE = 1e6  # of an element: what becomes infinite is no worse


def disturbing(
    graph: Graph, ops: Sequence[Op], narrow: Narrow, samples: Sequence[Feeds], core: Device | None = None
) -> dict[Op, float]:  # fmt: skip
    """The operators, the most disturbing first, and what each alone changes the outputs by. `core`: graph_values'."""
    products = interactions(graph, ops, narrow, samples[:PROBED], core)
    return {ops[i]: float(np.sqrt(max(products[i, i], 0.0))) for i in most_disturbing_first(products)}


def interactions(
    graph: Graph, ops: Sequence[Op], narrow: Narrow, samples: Sequence[Feeds], core: Device | None = None
) -> Array:  # fmt: skip
    """Matrix [ops, ops] of <d_i, d_j>, each output relative to its size, averaged over samples and outputs. The results
    of each op are floats."""
    outputs = [v for _, v in graph.outputs if v.type.dtype in FLOATS and v.op is not None]
    total = np.zeros((len(ops), len(ops)))
    if not outputs or not ops:
        return total
    errors_graph, errors = _errors(graph, ops, narrow)
    probed, probes, ends = _probed(graph, ops, outputs)
    every = [error for of in errors for error in of]
    with graph_values(errors_graph, every, core=core) as local, graph_values(probed, ends) as run:
        for feeds in samples:
            found = local(feeds)
            silent = {p.name: np.zeros(p.type.dims, p.type.numpy) for of in probes for p in of}
            base = run({**feeds, **silent})
            moved = []
            for of, wrong in zip(probes, errors, strict=True):
                out = run({**feeds, **silent, **{p.name: found[e] for p, e in zip(of, wrong, strict=True)}})
                moved.append(np.concatenate([_change(out[v], base[v]) for v in ends]))
            d = np.stack(moved)
            total += d @ d.T / (len(samples) * len(ends))
    return total


def _errors(graph: Graph, ops: Sequence[Op], narrow: Narrow) -> tuple[Graph, list[list[Value]]]:
    """A copy in which each operator has a twin on bytes beside it, and the differences of their results."""
    module, values = copy_module(graph.module)
    copied = module.entries[graph.name]
    twins: dict[Op, Op] = {}
    copied.outputs = []  # what the twins read is read by others in floats: only the differences leave
    for op in ops:
        wide = [values[v] for v in op.results]
        made = wide[0].op
        assert made is not None
        twin = Op(op.kind, list(made.inputs), dict(op.attrs), op.source)
        at = copied.ops.index(made) + 1
        narrower = copied.insert(at, twin, [v.type for v in wide])
        for pair in zip(narrower, wide, strict=True):
            (error,) = copied.insert(at + 1, Op("sub", list(pair), {"act": ""}), [pair[1].type])
            copied.outputs.append((f"error_{len(copied.outputs)}", error))
        twins[op] = twin
    narrow(copied, twins, values)
    errors = iter([v for _, v in copied.outputs])
    return copied, [[next(errors) for _ in op.results] for op in ops]


def _probed(graph: Graph, ops: Sequence[Op], outputs: Sequence[Value]) -> tuple[Graph, list[list[Value]], list[Value]]:
    """A copy in which an input is added to each result of each operator; these inputs, and the outputs."""
    module, values = copy_module(graph.module)
    copied = module.entries[graph.name]
    probes: list[list[Value]] = []
    for op in ops:
        probes.append([])
        for old in op.results:
            wide = values[old]
            assert wide.op is not None
            probe = copied.add_input(f"edgec_probe_{len(probes)}_{len(probes[-1])}", wide.type)
            added = Op("add", [wide, probe], {"act": ""})
            (result,) = copied.insert(copied.ops.index(wide.op) + 1, added, [wide.type])
            copied.replace(wide, result)
            added.inputs = [wide, probe]
            probes[-1].append(probe)
    ends = [v for (_, v), (_, old) in zip(copied.outputs, graph.outputs, strict=True) if old in outputs]
    return copied, probes, list(dict.fromkeys(ends))


def _change(found: Array, base: Array) -> Array:
    step = max(1, base.size // MOST_ELEMENTS)
    now, before = (array.astype(np.float64).ravel()[::step] for array in (found, base))
    known = np.isfinite(before)  # what is masked in floats stays so
    size = float(np.sqrt(np.sum(before[known] ** 2)))
    change = np.subtract(now, before, out=np.zeros_like(before), where=known) / (size or 1.0)
    return np.clip(np.nan_to_num(change, nan=MOST_CHANGE), -MOST_CHANGE, MOST_CHANGE)


def most_disturbing_first(products: Array) -> list[int]:
    """The order in which members leave a set so that its error falls most at each step."""
    left = list(range(len(products)))
    order: list[int] = []
    while left:
        rows = products[np.ix_(left, left)]
        gain = 2 * rows.sum(axis=1) - np.diag(rows)
        order.append(left.pop(int(np.argmax(gain))))
    return order
