"""Text form: written next."""
from edgec.ir.graph import Module


def print_module(module: Module) -> str:
    raise NotImplementedError
