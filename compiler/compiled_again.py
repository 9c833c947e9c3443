"""An artifact's own source compiled once more, with hooks between its calls.

The library that ships has none: what the hooks expand to is defined only here.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path

from edgec.runtime.manifest import Manifest
from edgec.target_table import TARGETS
from edgec.targets.c import toolchain
from edgec.targets.c.build import link_image, link_library
from edgec.targets.files import temporary_folder


@contextmanager
def compiled_again(manifest: Manifest, hooks: str, defines: Sequence[str] = ()) -> Iterator[Path]:
    """A folder to be loaded without a check of its files, gone afterwards. `hooks`.h of targets/c stands before the
    source, and `hooks`.c, compiled with `defines`, is linked to it."""
    name, triple = manifest.name, str(manifest.raw["triple"])
    device = TARGETS[manifest.target].choose(manifest.cpu)
    with temporary_folder("edgec-again-") as temporary:
        folder = temporary / name
        shutil.copytree(manifest.directory, folder)
        for file in (f"{hooks}.h", f"{hooks}.c"):
            (folder / file).write_bytes(files("edgec.targets.c").joinpath(file).read_bytes())
        flags = (*device.flags, "-fPIC", "-O2", "-include", f"{hooks}.h")
        toolchain.compile_c(folder, f"{name}.c", f"{name}.o", triple, flags)
        toolchain.compile_c(folder, f"{hooks}.c", f"{hooks}.o", triple, ("-O2", "-fPIC", *defines))
        objects = [f"{name}.o", f"{hooks}.o"]
        if (folder / f"{name}_weights.S").exists():
            toolchain.assemble(folder, f"{name}_weights.S", f"{name}_weights.o", triple)
            objects.append(f"{name}_weights.o")
        if f"{name}.elf" in manifest.files:
            brought = manifest.brought_weights()
            link_image(folder, name, device, objects, None if brought is None else len(brought))
        else:
            link_library(folder, name, triple, objects)
        yield folder
