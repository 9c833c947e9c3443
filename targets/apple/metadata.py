"""What Xcode shows of a model: who made it, under which licence, and keys of one's own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from edgec.ir.errors import UsageError

FIELDS = ("author", "license", "version", "description")


@dataclass(frozen=True)
class Metadata:
    author: str = ""
    license: str = ""
    version: str = ""
    description: str = ""
    user: Mapping[str, str] = field(default_factory=dict)


def metadata_of(given: Mapping[str, str], facts: Mapping[str, str]) -> Metadata:
    """`given` are a user's texts by key, FIELDS among them; `facts` are edgec's own, all of which begin with `edgec.`.
    UsageError for a user's key that would hide one."""
    hidden = [key for key in given if key.startswith("edgec.") or not key]
    if hidden:
        raise UsageError(f"--metadata {hidden[0]}=…: keys are not empty, and those with edgec. are edgec's own")
    own = {key: text for key, text in given.items() if key not in FIELDS}
    fields = {key: given[key] for key in FIELDS if key in given}
    return Metadata(**fields, user={**own, **facts})
