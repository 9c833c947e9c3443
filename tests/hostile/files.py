"""All hostile files."""

from __future__ import annotations

from hostile import files_outside, files_sizes, files_structure
from hostile.table import Hostile

FILES: tuple[Hostile, ...] = (*files_structure.FILES, *files_sizes.FILES, *files_outside.FILES)
