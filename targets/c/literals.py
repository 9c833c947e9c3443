"""Numbers and text as C writes them."""

from __future__ import annotations


def number(value: float) -> str:
    """A literal; a float is printed so that float32 reads back the same."""
    if isinstance(value, bool):
        return str(int(value))
    if isinstance(value, int):
        return f"{value}" if -(2**31) <= value < 2**31 else f"INT64_C({value})"
    if value != value:
        return '__builtin_nanf("")'
    if value in (float("inf"), float("-inf")):
        return "-__builtin_inff()" if value < 0 else "__builtin_inff()"
    text = repr(float(value))
    return f"{text}f"


def c_string(text: str) -> str:
    """A C string literal of any text, as UTF-8 in octal where it is not plain."""
    out = []
    for byte in text.encode():
        plain = 32 <= byte < 127 and byte not in b'"\\?'
        out.append(chr(byte) if plain else f"\\{byte:03o}")
    return '"' + "".join(out) + '"'
