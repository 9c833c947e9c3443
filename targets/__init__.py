"""Targets, one folder each, found by listing."""

assert __name__ == "edgec.targets", "import edgec.targets, not the folder targets"
