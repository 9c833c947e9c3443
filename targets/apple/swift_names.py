"""Names in Swift made from names of features: legal, and no two alike."""

from __future__ import annotations

import re

# The Swift Programming Language, Lexical Structure: keywords of declarations, statements, expressions and types
KEYWORDS = frozenset((
    "Any", "as", "associatedtype", "await", "break", "case", "catch", "class", "continue", "default", "defer",
    "deinit", "do", "else", "enum", "extension", "fallthrough", "false", "fileprivate", "for", "func", "guard",
    "if", "import", "in", "inout", "internal", "is", "let", "nil", "open", "operator", "precedencegroup",
    "private", "protocol", "public", "repeat", "rethrows", "return", "static", "struct", "subscript", "super",
    "switch", "throw", "throws", "true", "try", "typealias", "var", "where", "while",
))  # fmt: skip
# what means something behind a point or alone even between backticks
SPECIAL = frozenset({"_", "self", "Self", "Type", "Protocol", "init"})


def value_name(text: str, taken: set[str]) -> str:
    """A property or parameter: the text where that is legal, in backticks where it is a keyword. `taken` grows by
    it."""
    plain = re.sub(r"[^A-Za-z0-9_]", "_", text) or "_"
    plain = f"_{plain}" if plain[0].isdigit() else plain
    while plain in taken or plain in SPECIAL:
        plain += "_"
    taken.add(plain)
    return f"`{plain}`" if plain in KEYWORDS else plain


def type_name(text: str) -> str:
    """Words joined with capitals: `mobile-net v2` becomes MobileNetV2."""
    words = re.findall(r"[A-Za-z0-9]+", text)
    joined = "".join(word[0].upper() + word[1:] for word in words) or "Model"
    return f"M{joined}" if joined[0].isdigit() else joined


def comment(text: str) -> str:
    """Text that stays in its line."""
    return " ".join(text.split())
