"""Static INT8: which operators work on bytes, and the encodings of their operands and results.

Convolutions and matmuls by constant weights are what is asked for. An operator that moves, adds or scales elements
works on bytes where all it reads are constants or results of such operators, and something behind it takes bytes; so
do softmax, norms and attention. What only leads to a float operator or leaves the model stays float, since nothing is
gained by rounding it, but for sums of many elements, such as a global mean: they are floats without rounding of their
own, and average out that of what they read. A value that comes from elsewhere, such as an input of the model, is
encoded where it is first needed.

Activations are asymmetric bytes, one scale a tensor (grids.py). Weights are symmetric in [-127, 127], one scale a
result channel.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping
from typing import Any

import numpy as np

from edgec.flat_weights import bias_of, flat_weights, set_bias, set_weights, stored_weights, weights_of
from edgec.grids import Range, grids_of
from edgec.ir.encodings import only
from edgec.ir.graph import Graph, Op, Value
from edgec.ir.residual import residual_of
from edgec.ir.types import Quant, Type
from edgec.passes.constant_forms import SPREAD_BYTES
from edgec.passes.lower_requant import is_between
from edgec.passes.move_forms import resizes_bytes
from edgec.passes.requant import is_clamp
from edgec.passes.requant_forms import FORMS
from edgec.passes.row_forms import refusal
from edgec.passes.sum_forms import windows_count_alike
from edgec.weight_rounding import corrected_bias, round_nearest

Array = np.ndarray[Any, Any]
# weights [result channels, …] and their scales -> what is stored
RoundWeights = Callable[[Op, Array, Array], Array]
# scales of result channels -> the least ones, not below them, that sums on bytes may have
Legal = Callable[[Array], Array]
# sets the encoding of an operator's weights
EncodeWeights = Callable[[Graph, Op, Legal], None]

# operators with numbers of rows, and which of their operands must be constants
ROWS = {"softmax": (), "layer_norm": (1, 2), "rms_norm": (1,), "attention": (3,)}
PAIRS = ("add", "mul", "sub")  # two operands that vary
HEAVY = ("conv", "matmul")
SUMS = ("reduce_mean", "reduce_sum")
MANY = 16  # elements in a sum, next to whose spread that of one's rounding is small
LEAST_FACTOR = 2.0**-22  # of a sum's step to the result's: zero points in sums must fit 32 bits
LEAST_STEP = float(np.finfo(np.float32).tiny)  # of weights, and of sums that become floats
LARGEST_BIAS = 2.0**24  # steps of a sum
MOST_STEPS = 2**15 - 1  # of a sum, that a step of what is added to it may be


def heavy(op: Op) -> bool:
    """A convolution or matmul by constant weights that has an integer form."""
    if op.kind not in HEAVY or op.result.type.dtype != "f32" or op.arg(1).const is None or op.arg(0).const is not None:
        return False
    residual = residual_of(op)
    if any(v is not None and v.const is None for v in op.inputs[2:3]) or (residual is not None and residual.const):
        return False
    if not is_clamp(str(op.attrs["act"])):
        return False
    if op.kind == "conv":
        return op.arg(0).type.rank == 4 and op.attrs["layout"] == "nhwc"
    dims = op.arg(1).type.dims
    bias = op.inputs[2].type.size if len(op.inputs) > 2 and op.inputs[2] is not None else 1
    fits = bias in (1, op.result.type.dims[-1])
    return math.prod(dims[:-2]) == 1 and op.arg(0).type.rank == op.result.type.rank and fits


def _adds_floats(op: Op, chosen: Collection[Op]) -> bool:
    """What is added is not stored in bytes, and so the result is not."""
    value = residual_of(op)
    while value is not None:
        if value.op is None or value.op not in chosen:
            return True
        value = residual_of(value.op)
    return False


def from_floats(value: Value, chosen: Collection[Op]) -> bool:
    """Whether chosen operators that read it as bytes find none, and it is encoded for them."""
    return value.op is None or value.op not in chosen or _adds_floats(value.op, chosen)


def operators_on_bytes(graph: Graph, kept: Collection[Op] = (), whole: bool = False) -> set[Op]:
    """The operators that work on bytes; those in `kept` stay float. `whole`: also those whose bytes leave the model,
    and those that read its inputs or what operators without an integer form make."""
    found, users = with_integer_form(graph, kept, whole), graph.users()
    leaving = graph.output_values() if whole else set()
    for op in reversed(graph.ops):
        if op not in found or heavy(op) or op.result in leaving:
            continue
        if _averages(op) and all(user in found for user in users[op.arg(0)]):
            continue
        if not any(user in found for user in users.get(op.result, ())):
            found.remove(op)
    return found


def with_integer_form(graph: Graph, kept: Collection[Op], whole: bool) -> set[Op]:
    """The operators that may work on bytes, whatever is behind them."""
    found: set[Op] = set()
    given = {v for v in graph.inputs if whole and v.type.dtype == "f32"}
    for op in graph.ops:
        if op not in kept and (heavy(op) or _light(op, found, given)) and finite_constants(graph, op):
            found.add(op)
        elif whole:
            given.update(v for v in op.results if v.type.dtype == "f32")
    return found


def finite_constants(graph: Graph, op: Op) -> bool:
    """Whether no scale would have to hold an infinity or NaN, such as those of a mask that became a bias. Weights are
    looked at before (finite_weights.py), and attention's own mask has no scale."""
    if op.kind == "attention":
        return True
    given = [v for i, v in enumerate(op.inputs) if v is not None and v.const is not None and not (heavy(op) and i == 1)]
    return all(np.isfinite(graph.array(v)).all() for v in given if v.type.dtype == "f32")


def _averages(op: Op) -> bool:
    return op.kind in SUMS and op.arg(0).type.size >= MANY * op.result.type.size


def makes_floats(op: Op) -> bool:
    """On bytes, with a result that is rounded only where it is stored in bytes."""
    return op.kind in SUMS or heavy(op)


def _light(op: Op, found: Collection[Op], given: Collection[Value]) -> bool:
    """Works on bytes where what it reads are bytes, or `given`, which are encoded for it."""
    if op.kind not in FORMS or op.kind in HEAVY or len(op.results) != 1 or op.result.type.dtype != "f32":
        return False
    if op.kind in ROWS:
        return _of_rows(op, found, given)
    if op.kind == "gather":
        return op.arg(1).const is None and (op.arg(0).const is not None or _is_bytes(op.arg(0), found, given))
    values = [v for v in op.inputs if v is not None and v.const is None]
    constants = [v for v in op.inputs if v is not None and v.const is not None]
    if not values or not all(_is_bytes(v, found, given) for v in values) or not _fits(op, values, constants):
        return False
    if op.kind == "resize" and not resizes_bytes(op):
        return False
    if op.kind == "avg_pool" and not windows_count_alike(op.attrs):
        return False
    return is_clamp(str(op.attrs.get("act", "")))


def _is_bytes(value: Value, found: Collection[Op], given: Collection[Value]) -> bool:
    return value in given or value.op in found


def _of_rows(op: Op, found: Collection[Op], given: Collection[Value]) -> bool:
    fixed = ROWS[op.kind]
    values = [v for i, v in enumerate(op.inputs) if i not in fixed]
    constant = all(v is None or v.const is not None for i, v in enumerate(op.inputs) if i in fixed)
    return constant and not refusal(op) and all(v is not None and _is_bytes(v, found, given) for v in values)


def _fits(op: Op, values: list[Value], constants: list[Value]) -> bool:
    """Operands of a light operator that have an integer form together."""
    dims = op.result.type.dims
    if op.kind in ("add", "mul", "sub"):
        small = all(v.type.size == 1 or math.prod(dims) <= SPREAD_BYTES for v in constants)
        if op.kind == "mul":
            return any(v.type.dims == dims for v in values)
        return small and all(v.type.dims == dims for v in values)
    if op.kind in ("div", "max", "min", "pow"):
        return len(values) == 1 and values[0].type.dims == dims and all(v.type.size == 1 for v in constants)
    if op.kind == "prelu":
        channels = dims[-1:]
        slopes = all(v.type.size == 1 or (v.type.size,) == channels == v.type.dims[-1:] for v in constants)
        return values == [op.arg(0)] and slopes
    return not constants or op.kind == "concat"


def values_to_observe(graph: Graph, chosen: Collection[Op]) -> list[Value]:
    """Values whose range decides an encoding: what chosen operators read, or leave the model as, in order."""
    found: dict[Value, None] = {}
    users, leaving = graph.users(), graph.output_values()
    for op in graph.ops:
        if op in chosen:
            found.update((v, None) for v in _read_as_bytes(op, chosen))
            if _is_encoded(op, chosen, users, leaving):
                found[op.result] = None
    return list(found)


def _is_encoded(
    op: Op, chosen: Collection[Op], users: Mapping[Value, list[Op]], leaving: Collection[Value]
) -> bool:
    """Whether the result of a chosen operator is stored in bytes: products that nothing takes as bytes are not, nor is
    what stands between functions of one element."""
    if _adds_floats(op, chosen):
        return False
    taken = any(user in chosen for user in users.get(op.result, ()))
    if op.result in leaving:
        return taken or not makes_floats(op)
    return taken and not is_between(op, users)


def _read_as_bytes(op: Op, chosen: Collection[Op]) -> list[Value]:
    """Operands that are encoded where they are read: no constants, no indices, and no floats that are added."""
    read = op.inputs[:3] if _adds_floats(op, chosen) else op.inputs
    return [v for v in read if v is not None and v.const is None and v.type.dtype == "f32"]


def encode_values(
    graph: Graph, chosen: Collection[Op], ranges: Mapping[Value, Range], byte: str, rounded: RoundWeights,
    means: Mapping[Op, Array], coded: Mapping[Op, EncodeWeights] | None = None,
) -> None:  # fmt: skip
    """Sets the encodings of what the chosen operators read and make, and of their weights. Biases make up for what
    rounded weights do to operand rows with these `means` [groups, k] (M. Nagel et al., "Data-Free Quantization", 2019,
    4.2). `coded` encode the weights of their op in another way than bytes."""
    scales = grids_of(graph, chosen, ranges, byte)
    users = graph.users()
    leaving = graph.output_values()
    outside: dict[Value, Value] = {}  # values from elsewhere -> encoded
    for op in list(graph.ops):
        if op not in chosen:
            continue
        for value in _read_as_bytes(op, chosen):
            if from_floats(value, chosen):
                if value not in outside:
                    outside[value] = _encoded(graph, op, value, _quant(graph, scales[value], byte))
                op.inputs = [outside[value] if v is value else v for v in op.inputs]
        if _is_encoded(op, chosen, users, leaving):
            encoding = _quant(graph, scales[op.result], byte)
            op.result.type = Type("f32", op.result.type.shape, (encoding,))
            if op.result in leaving:
                plain = _encoded(graph, None, op.result, None)
                graph.outputs = [(name, plain if v is op.result else v) for name, v in graph.outputs]
                for state in graph.states:
                    state.output = plain if state.output is op.result else state.output
        if heavy(op):
            scale = scales[op.result][0] if op.result.type.encodings else None
            _encode_weights(graph, op, scale, rounded, means.get(op), (coded or {}).get(op))


def _encoded(graph: Graph, before: Op | None, value: Value, encoding: Quant | None) -> Value:
    """The value in another encoding (None: plain), by an `encode` in front of an operator or at the end."""
    op = Op("encode", [value], {}, value.op.source if value.op is not None else "")
    at = len(graph.ops) if before is None else graph.ops.index(before)
    (made,) = graph.insert(at, op, [Type("f32", value.type.shape, (encoding,) if encoding else ())])
    made.name = value.name
    return made


def _quant(graph: Graph, grid: tuple[float, int], byte: str) -> Quant:
    scale, zero = grid
    return Quant(
        byte, graph.module.intern(np.array(scale, np.float32)),
        graph.module.intern(np.array(zero, np.uint8 if byte == "u8" else np.int8)),
    )  # fmt: skip


def _encode_weights(
    graph: Graph, op: Op, result_scale: float | None, rounded: RoundWeights, mean: Array | None,
    other: EncodeWeights | None,
) -> None:  # fmt: skip
    flat = flat_weights(graph, op)
    x_scale = float(graph.module.constants[only(op.arg(0).type).scale])
    bias = np.abs(bias_of(graph, op, len(flat)))
    least = np.maximum(bias / (x_scale * LARGEST_BIAS), LEAST_STEP / min(x_scale, 1.0))
    if result_scale is not None:
        least = np.maximum(least, result_scale * LEAST_FACTOR / x_scale)
    residual = residual_of(op)
    r_scale = None
    if residual is not None and residual.type.encodings:
        r_scale = float(graph.module.constants[only(residual.type).scale])

    def legal(scale: Array) -> Array:
        raised = np.maximum(scale, least)
        if r_scale is not None:
            steps = np.clip(np.floor(r_scale / (x_scale * raised)), 1, MOST_STEPS)
            raised = np.maximum(raised, r_scale / (x_scale * steps))
        return raised.astype(np.float32)

    if other is not None:
        other(graph, op, legal)
    else:
        largest = np.abs(flat).max(axis=1, initial=0.0)
        # a channel without weights has sums of bias alone, on a scale like the others'
        scale = legal(np.where(largest > 0.0, largest, largest.max(initial=0.0) or 1.0) / 127)
        zero = graph.module.intern(np.zeros(len(scale), np.int8))
        encoding = Quant("i8", graph.module.intern(scale), zero, weights_of(op)[0])
        set_weights(graph, op, rounded(op, flat, scale), Type("f32", op.arg(1).type.shape, (encoding,)))
    if mean is not None:
        rows = np.repeat(mean, len(flat) // len(mean), axis=0)
        now = stored_weights(graph, op)
        set_bias(graph, op, corrected_bias(bias_of(graph, op, len(flat)), flat, now.numbers, now.steps, rows))


def largest_bias(graph: Graph, op: Op) -> Array:
    """What each channel's sums have room for, of an operator with encodings."""
    steps = stored_weights(graph, op).steps
    x_scale = float(graph.module.constants[only(op.arg(0).type).scale])
    return np.asarray(LARGEST_BIAS * x_scale * steps.reshape(len(steps), -1).min(axis=1, initial=np.inf))


def nearest(op: Op, weights: Array, scale: Array) -> Array:
    """Weights [channels, k] rounded to the nearest step of their channel."""
    return round_nearest(weights, scale)
