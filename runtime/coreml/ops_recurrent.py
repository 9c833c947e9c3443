"""LSTM, GRU and RNN over [time, batch, features].

With direction `reverse` the outputs come in the order of computation, the last time step first: so coremltools' own
tests expect them of Core ML (mil/ops/tests/iOS14/test_recurrent.py). A bidirectional LSTM has both in the order of
time.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from edgec.runtime.coreml.call import Call, wide
from edgec.runtime.coreml.ops_activation import sigmoid
from edgec.runtime.coreml.wire import Array

ACTIVATIONS: dict[str, Callable[[Array], Array]] = {
    "sigmoid": sigmoid,
    "tanh": np.tanh,
    "relu": lambda x: np.maximum(x, 0),
    "linear": lambda x: x,
    "scaled_tanh": np.tanh,  # scales are 1 where there is no way to give them
    "hard_sigmoid": lambda x: np.clip(np.float32(0.2) * x + np.float32(0.5), 0, 1),
    "sigmoid_hard": lambda x: np.clip(np.float32(0.2) * x + np.float32(0.5), 0, 1),
}


def _activation(call: Call, name: str, default: str) -> Callable[[Array], Array]:
    return ACTIVATIONS[call.text(name, default, tuple(ACTIVATIONS))]


def _optional(call: Call, name: str, size: int) -> Array:
    return call.real(name) if call.has(name) else np.zeros(size, np.float32)


def _sequence(call: Call, outputs: list[Array]) -> Array:
    """All steps as computed, or the one that was computed last, with an axis of 1."""
    return np.stack(outputs) if call.flag("output_sequence") else outputs[-1][None]


def _steps(call: Call, reverse: bool) -> Array:
    x = call.real("x")
    if x.ndim != 3 or len(x) == 0:
        raise ValueError(f"x has shape {list(x.shape)} and should have [time, batch, features]")
    return x[::-1] if reverse else x


def _reversed(call: Call) -> bool:
    return call.text("direction", "forward", ("forward", "reverse")) == "reverse"


def _lstm_pass(call: Call, back: str, reverse: bool, h: Array, c: Array) -> tuple[Array, Array, Array]:
    """One direction; `back` is the suffix of its weights. Gates lie in the order input, forget, output, cell."""
    weight_ih, weight_hh = call.real(f"weight_ih{back}"), call.real(f"weight_hh{back}")
    size = weight_hh.shape[1]
    bias = _optional(call, f"bias{back}", 4 * size)
    peep_i, peep_f, peep_o = np.split(_optional(call, f"peephole{back}", 3 * size), 3)
    gate = _activation(call, "recurrent_activation", "sigmoid")
    cell, out = _activation(call, "cell_activation", "tanh"), _activation(call, "activation", "tanh")
    clip = call.number("clip") if call.has("clip") else None
    made = []
    for x in _steps(call, reverse):
        i, f, o, z = np.split(x @ weight_ih.T + h @ weight_hh.T + bias, 4, axis=1)
        fresh = gate(f + peep_f * c) * c + gate(i + peep_i * c) * cell(z)
        c = fresh if clip is None else np.clip(fresh, np.float32(-clip), np.float32(clip))
        h = np.asarray(gate(o + peep_o * c) * out(c))
        made.append(h)
    return _sequence(call, made), h, c


def _lstm(call: Call) -> tuple[Array, ...]:
    direction = call.text("direction", "forward", ("forward", "reverse", "bidirectional"))
    h, c = call.real("initial_h"), call.real("initial_c")
    if direction != "bidirectional":
        return _lstm_pass(call, "", direction == "reverse", h, c)
    size = h.shape[1] // 2
    forth = _lstm_pass(call, "", False, h[:, :size], c[:, :size])
    steps, *last = _lstm_pass(call, "_back", True, h[:, size:], c[:, size:])
    return tuple(np.concatenate(pair, axis=-1) for pair in zip(forth, (steps[::-1], *last), strict=True))


def _gru(call: Call) -> tuple[Array, ...]:
    """Gates lie in the order reset, output, update. Without reset_after, h is reset before it meets its weights."""
    reverse = _reversed(call)
    h = call.real("initial_h")
    weight_ih, weight_hh = call.real("weight_ih"), call.real("weight_hh")
    size = weight_hh.shape[1]
    bias, input_bias = _optional(call, "bias", 3 * size), _optional(call, "input_bias", 3 * size)
    hidden_r, hidden_o, hidden_z = np.split(weight_hh, 3)
    bias_r, bias_o, bias_z = np.split(bias, 3)
    gate, out = _activation(call, "recurrent_activation", "sigmoid"), _activation(call, "activation", "tanh")
    after = call.flag("reset_after")
    made = []
    for x in _steps(call, reverse):
        xr, xo, xz = np.split(x @ weight_ih.T + input_bias, 3, axis=1)
        r = gate(xr + h @ hidden_r.T + bias_r)
        z = gate(xz + h @ hidden_z.T + bias_z)
        o = out(xo + r * (h @ hidden_o.T + bias_o) if after else xo + (r * h) @ hidden_o.T + bias_o)
        h = np.asarray((1 - z) * o + z * h)
        made.append(h)
    return _sequence(call, made), h


def _rnn(call: Call) -> tuple[Array, ...]:
    reverse = _reversed(call)
    h = wide(call.array("initial_h"))
    weight_ih, weight_hh = call.real("weight_ih"), call.real("weight_hh")
    bias = _optional(call, "bias", len(weight_hh))
    out = _activation(call, "activation", "tanh")
    made = []
    for x in _steps(call, reverse):
        h = np.asarray(out(x @ weight_ih.T + h @ weight_hh.T + bias))
        made.append(h)
    return _sequence(call, made), h


MEANINGS: dict[str, Callable[[Call], tuple[Array, ...]]] = {"lstm": _lstm, "gru": _gru, "rnn": _rnn}
