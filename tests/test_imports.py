"""The import law: floors see only what lies below them."""

from __future__ import annotations

import ast
from pathlib import Path

ROOT = Path(__file__).parent.parent
# floor -> prefixes of edgec modules it may import
FLOORS = {
    "compiler/ir": ("edgec.ir",),
    "compiler/onnx_import": ("edgec.onnx_import", "edgec.ir"),
    "compiler/plan": ("edgec.plan", "edgec.ir"),
    "passes": ("edgec.passes", "edgec.ir"),
    "targets": ("edgec.targets", "edgec.plan", "edgec.ir", "edgec.runtime.cpu"),
    "targets/apple": ("edgec.targets.apple", "edgec.ir"),
    "runtime": ("edgec.runtime",),
}
# heavy packages and the only places that may import them
ONLY = {
    "onnx": ("compiler/onnx_import/",),
    "onnxruntime": ("compiler/reference.py",),
    "unicorn": ("runtime/emulator.py", "runtime/memory.py"),
    "coremltools": ("targets/coreml/", "runtime/coreml/apple.py"),
}


def imports(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} has a relative import"
            found.add(str(node.module))
    return found


def sources() -> list[Path]:
    return [p for floor in ("compiler", "passes", "targets", "runtime") for p in (ROOT / floor).rglob("*.py")]


def test_floors() -> None:
    for floor, allowed in FLOORS.items():
        for path in (ROOT / floor).rglob("*.py"):
            for name in imports(path):
                if name.split(".")[0] == "edgec":
                    assert any(name == a or name.startswith(a + ".") for a in allowed), f"{path} imports {name}"


def test_heavy_packages() -> None:
    for path in sources():
        relative = path.relative_to(ROOT).as_posix()
        for name in imports(path):
            places = ONLY.get(name.split(".")[0])
            assert places is None or relative.startswith(places), f"{relative} imports {name}"


def test_nothing_is_reached_by_dots() -> None:
    for path in sources():
        assert '"../' not in path.read_text(), path
