"""What was emitted for Core ML, saved and read again: everything that looks at a package looks at its saved bytes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from edgec.artifact import staged_files
from edgec.runtime.coreml.package import Package, read_package

if TYPE_CHECKING:
    from edgec.targets.coreml.program import Emitted


@contextmanager
def saved(emitted: Emitted) -> Iterator[Package]:
    """The package, in a folder that is gone afterwards."""
    from edgec.targets.coreml.package import package_files

    with staged_files(package_files(emitted)) as folder:
        yield read_package(folder)
