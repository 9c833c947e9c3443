"""NAME_labels.h: the names of the classes as a table in C, for programs that include it."""

from __future__ import annotations

from edgec.targets.c.emit import Identity
from edgec.targets.c.literals import c_string


def emit_labels(name: str, labels: tuple[str, ...], identity: Identity) -> str:
    """Labels are UTF-8, whatever the compiler thinks of source files."""
    upper = name.upper()
    rows = "".join(f"      {c_string(label)},\n" for label in labels)
    return f"""{identity.line(f"Labels of the model {name}")}#ifndef EDGEC_LABELS_{upper}_H
#define EDGEC_LABELS_{upper}_H

#include <stddef.h>

#define {upper}_LABELS {len(labels)}

/* The label of a class of output 0, in UTF-8; NULL when there is no such class. */
static inline const char *{name}_label(ptrdiff_t i) {{
  static const char *const labels[] = {{
{rows}  }};
  return i >= 0 && i < {upper}_LABELS ? labels[i] : NULL;
}}
#endif
"""
