"""Passes over the IR, one file each, and the order in which CPU targets run them."""

assert __name__ == "edgec.passes", "import edgec.passes, not the folder passes"
