"""LSTM, GRU and RNN: one core op each; batch-first layouts become transposes around it."""

from __future__ import annotations

from collections.abc import Sequence

from edgec.ir.graph import Value
from edgec.onnx_import.items import Item
from edgec.onnx_import.node import Node, Table

GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}
DEFAULTS = {"LSTM": ("Sigmoid", "Tanh", "Tanh"), "GRU": ("Sigmoid", "Tanh"), "RNN": ("Tanh",)}
ALPHAS = {"LeakyRelu": 0.01, "ThresholdedRelu": 1.0, "HardSigmoid": 0.2, "Elu": 1.0}
BETAS = {"HardSigmoid": 0.5}
KNOWN = ("Sigmoid", "Tanh", "Relu", "LeakyRelu", "ThresholdedRelu", "HardSigmoid", "Elu", "Softsign", "Softplus")


def activations_of(node: Node, kind: str, directions: int) -> tuple[str, ...]:
    """Activation names in ONNX spelling, one set per direction; `kind` is one of DEFAULTS."""
    default = DEFAULTS[kind] * directions
    given = node.texts("activations") or default
    spelled = {name.lower(): name for name in KNOWN}
    unknown = [name for name in given if name.lower() not in spelled]
    if unknown:
        node.refuse(f"has the activation {unknown[0]}; {', '.join(KNOWN)} are supported")
    names = tuple(spelled[name.lower()] for name in given)
    if len(names) != len(default):
        node.broken(f"has {len(names)} activations; {len(default)} are needed")
    for attribute, usual in (("activation_alpha", ALPHAS), ("activation_beta", BETAS)):
        wanted = [usual[name] for name in names if name in usual]
        numbers = list(node.numbers(attribute) or wanted)
        if len(numbers) != len(wanted) or any(abs(a - b) > 1e-6 for a, b in zip(numbers, wanted, strict=True)):
            node.refuse(f"has {attribute}={numbers}; only the default {wanted} is supported")
    return names


def batch_second(node: Node, value: Value | None) -> Value | None:
    return None if value is None else node.transpose(value, (1, 0, 2))


def recurrent(node: Node) -> list[Item]:
    kind = node.op_type.lower()
    direction = node.text("direction", "forward")
    if direction not in ("forward", "reverse", "bidirectional"):
        node.broken(f"has direction='{direction}'; forward, reverse and bidirectional are legal")
    directions = 2 if direction == "bidirectional" else 1
    batch_first = node.opset >= 14 and node.flag("layout")
    x, w, r = node.value(0), node.value(1), node.value(2)
    bias, lens, state, cell, peephole = (node.optional(i) for i in range(3, 8))
    if batch_first:
        x = node.transpose(x, (1, 0, 2))
        state, cell = batch_second(node, state), batch_second(node, cell)
    check_shapes(node, x, w, r, directions)
    operands: list[Value | None] = [x, w, r, bias, lens, state]
    attrs: dict[str, bool | float] = {"clip": node.number("clip", 0.0)}
    if kind == "lstm":
        operands += [cell, peephole]
        attrs["input_forget"] = node.flag("input_forget")
    elif kind == "gru":
        attrs["linear_before_reset"] = node.flag("linear_before_reset")
    while operands[-1] is None:
        operands.pop()
    names = activations_of(node, node.op_type, directions)
    results = node.ops(kind, *operands, direction=direction, activations=names, **attrs)
    if batch_first:
        return [node.transpose(v, (2, 0, 1, 3) if i == 0 else (1, 0, 2)) for i, v in enumerate(results)]
    return list(results)


def check_shapes(node: Node, x: Value, w: Value, r: Value, directions: int) -> None:
    """X [T, B, I], W [D, G H, I], R [D, G H, H] with H as `hidden_size` says."""
    shapes: Sequence[tuple[int, ...]] = [node.shape(v) for v in (x, w, r)]
    gates = GATES[node.op_type]
    if any(len(s) != 3 for s in shapes):
        node.broken(f"needs operands of three dimensions, not {[list(s) for s in shapes]}")
    hidden = shapes[2][2]
    if node.integer("hidden_size", hidden) != hidden:
        node.broken(f"has hidden_size={node.integer('hidden_size', hidden)} and weights for {hidden}")
    wanted = [(directions, gates * hidden, shapes[0][2]), (directions, gates * hidden, hidden)]
    if shapes[1:] != wanted:
        node.broken(f"has weights {[list(s) for s in shapes[1:]]}; {[list(s) for s in wanted]} are needed")


RECURRENT: Table = {"GRU": recurrent, "LSTM": recurrent, "RNN": recurrent}
