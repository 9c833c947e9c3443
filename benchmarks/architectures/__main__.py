"""Writes the architectures as ONNX files, for everything that takes a folder of models.

python benchmarks/architectures FOLDER [NAME ...]
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path[0] = str(Path(__file__).parents[1])  # python puts this folder there, where the package is not to be found

from architectures.table import ARCHITECTURES  # noqa: E402


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("names", nargs="*", help=f"of {', '.join(ARCHITECTURES)} [default: all]")
    chosen = parser.parse_args()
    unknown = [name for name in chosen.names if name not in ARCHITECTURES]
    if unknown:
        parser.error(f"there is no architecture '{unknown[0]}'; legal: {', '.join(ARCHITECTURES)}")
    chosen.folder.mkdir(parents=True, exist_ok=True)
    for name in chosen.names or ARCHITECTURES:
        path = chosen.folder / f"{name}.onnx"
        path.write_bytes(ARCHITECTURES[name].bytes())
        print(f"{path}: {path.stat().st_size:,} B")


if __name__ == "__main__":
    main()
