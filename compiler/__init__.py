"""edgec: the on-device edge deployment compiler. `compile()` a model, `load()` an artifact."""

assert __name__ == "edgec", "import edgec, not the folder compiler: a second copy of every class would be made"
