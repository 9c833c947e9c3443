"""Operands of a node against the operator's signature in the ONNX standard: how many, of which types, which are equal.

onnx's own shape inference could check types too, but it ends the process on some malformed models.
"""

from __future__ import annotations

from functools import lru_cache

import onnx
from onnx import NodeProto

from edgec.ir.errors import ModelError
from edgec.ir.graph import Value
from edgec.onnx_import.items import Float8Bytes, Item, Maybe, Narrow, TensorList

# IR dtype -> the name in ONNX's type strings
SPELLED: dict[str, str] = {
    "f64": "double", "f32": "float", "f16": "float16", "bf16": "bfloat16", "i64": "int64", "i32": "int32",
    "i16": "int16", "i8": "int8", "u64": "uint64", "u32": "uint32", "u16": "uint16", "u8": "uint8", "bool": "bool",
}  # fmt: skip

Formal = tuple[str, str, frozenset[str], bool]  # name, type variable, legal types, one type for all (variadic)


@lru_cache(maxsize=4096)
def signature(op_type: str, domain: str, opset: int) -> tuple[tuple[Formal, ...], int, bool] | None:
    """Formal operands, the fewest there must be, whether the last one repeats. None for an unknown operator."""
    try:
        schema = onnx.defs.get_schema(op_type, opset, domain)
    except onnx.defs.SchemaError:
        return None
    formals = tuple(
        (str(i.name), str(i.type_str), frozenset(map(str, i.types)), bool(i.is_homogeneous)) for i in schema.inputs
    )
    variadic = bool(formals) and schema.inputs[-1].option == onnx.defs.OpSchema.FormalParameterOption.Variadic
    return formals, int(schema.min_input), variadic


def spelled(item: Item) -> str:
    """Type of an item as ONNX writes it; nothing when that is not known."""
    if isinstance(item, Value):
        return f"tensor({SPELLED[item.type.dtype]})"
    if isinstance(item, Narrow | Float8Bytes):
        return f"tensor({item.element})"
    if isinstance(item, TensorList) and item.items:
        return f"seq(tensor({SPELLED[item.items[0].type.dtype]}))"
    if isinstance(item, Maybe) and isinstance(item.item, Value):
        return f"optional({spelled(item.item)})"
    return ""


def check_operands(proto: NodeProto, source: str, inputs: list[Item], domain: str, opset: int) -> None:
    """ModelError when the node's operands break the operator's signature."""
    found = signature(str(proto.op_type), domain, opset)
    if found is None:
        return
    formals, fewest, variadic = found
    if not variadic and len(inputs) > len(formals):
        raise ModelError(f"{source} has {len(inputs)} operands; at most {len(formals)} are legal in opset {opset}")
    if len(inputs) < fewest:
        raise ModelError(f"{source} has {len(inputs)} operands; at least {fewest} are needed in opset {opset}")
    variables: dict[str, str] = {}
    for i, item in enumerate(inputs):
        name, variable, legal, homogeneous = formals[min(i, len(formals) - 1)]
        type = spelled(item)
        if not type:
            continue
        # a present optional may stand where its contents may
        if type not in legal and type.removeprefix("optional(")[:-1] not in legal:
            raise ModelError(f"{source} has an operand '{name}' of type {type}, which opset {opset} does not allow")
        if "(" not in variable and homogeneous and variables.setdefault(variable, type) != type:
            raise ModelError(f"{source} has operands of types {variables[variable]} and {type}, which must be equal")
