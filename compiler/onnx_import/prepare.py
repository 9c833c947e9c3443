"""Before the walk: which inputs the model has, what their symbolic dimensions are, which of them are constants."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
from onnx import GraphProto, ValueInfoProto

from edgec.ir.errors import ModelError, UnsupportedError, UsageError
from edgec.ir.types import DTYPES, FLOATS, NARROW_FLOATS, Type
from edgec.onnx_import import limits
from edgec.onnx_import.options import ImportOptions
from edgec.onnx_import.tensors import ELEMENTS, dtype_of, element_name

ANONYMOUS = ("", "?")  # names that exporters give to dimensions they know nothing about
Dims = list[int | str]


def declared_dims(info: ValueInfoProto) -> Dims | None:
    """Dimensions as integers or names; None when even the rank is unknown."""
    tensor = info.type.tensor_type
    if not tensor.HasField("shape"):
        return None
    dims: Dims = []
    for dim in tensor.shape.dim:
        known = dim.HasField("dim_value") and dim.dim_value >= 0
        dims.append(int(dim.dim_value) if known else str(dim.dim_param))
    return dims


def show(dims: Dims | tuple[int, ...] | None) -> str:
    """A shape as the command line spells it."""
    return "of unknown rank" if dims is None else "x".join(str(d) or "?" for d in dims) or "scalar"


def free_inputs(graph: GraphProto) -> list[ValueInfoProto]:
    """Inputs without a default; one with a default (an initializer of the same name) is a constant."""
    fixed = {t.name for t in graph.initializer} | {t.values.name for t in graph.sparse_initializer}
    return [info for info in graph.input if info.name not in fixed]


def bind_dims(graph: GraphProto, options: ImportOptions) -> dict[str, int]:
    """Symbolic dimensions that the options give a value to. UsageError when an option does not fit."""
    infos = {info.name: info for info in graph.input}
    bound: dict[str, int] = {}
    given = {name: ("--shape", shape) for name, shape in options.shapes.items()}
    given |= {name: ("--const", array.shape) for name, array in options.consts.items()}
    for name, (option, shape) in given.items():
        if name not in infos:
            raise UsageError(f"{option} {name}: the model has no such input; it has {', '.join(infos) or 'none'}")
        if not infos[name].type.HasField("tensor_type"):
            raise UnsupportedError([f"input '{name}' is not a tensor"])
        dims = declared_dims(infos[name])
        if dims is None:
            continue
        if option == "--const" and math.prod(shape) == 1 and all(d in (1, "") or isinstance(d, str) for d in dims):
            shape = (1,) * len(dims)  # `--const sr=16000` is enough for a tensor of one element
        if len(dims) != len(shape):
            raise UsageError(f"{option} {name} has {len(shape)} dimensions, and the input has {len(dims)}")
        for i, (dim, size) in enumerate(zip(dims, shape, strict=True)):
            if isinstance(dim, int) and dim != size:
                raise UsageError(f"{option} {name}: dimension {i} is {dim} in the model, not {size}")
        for dim, size in zip(dims, shape, strict=True):
            if isinstance(dim, str) and dim not in ANONYMOUS and bound.setdefault(dim, size) != size:
                raise UsageError(f"the dimension '{dim}' of input '{name}' is both {bound[dim]} and {size}")
    return bound


def input_types(infos: Iterable[ValueInfoProto], options: ImportOptions, bound: dict[str, int]) -> dict[str, Type]:
    """Static types of tensor inputs. UsageError names every dimension that no option binds."""
    types: dict[str, Type] = {}
    unbound: list[str] = []
    for info in infos:
        dims = declared_dims(info)
        if info.name in options.shapes:
            dims = list(options.shapes[info.name])
        if dims is None:
            unbound.append(
                f"input '{info.name}' has no shape in the model: give one, such as --shape {info.name}=1x3x8"
            )
            continue
        known = [bound.get(d, d) if isinstance(d, str) else d for d in dims]
        open_dims = [i for i, d in enumerate(known) if isinstance(d, str)]
        if open_dims:
            which = ", ".join(f"{i} of input '{info.name}' is symbolic ({known[i] or 'unnamed'})" for i in open_dims)
            example = "x".join(str(d) if isinstance(d, int) else "1" for d in known)
            unbound.append(f"dimension {which}: bind it, such as --shape {info.name}={example}")
            continue
        shape = limits.check_shape([d for d in known if isinstance(d, int)], f"input '{info.name}'")
        types[info.name] = Type(dtype_of(info.type.tensor_type.elem_type), shape)
    if unbound:
        raise UsageError("; ".join(unbound))
    return types


def constant_input(info: ValueInfoProto, array: np.ndarray) -> np.ndarray:
    """Contents given by `--const` in the input's own dtype and rank."""
    name = dtype_of(info.type.tensor_type.elem_type)
    dtype, real = DTYPES[name], name in FLOATS | NARROW_FLOATS
    with np.errstate(all="ignore"):
        cast = array.astype(dtype)
    whole = array.dtype.kind in "iu"
    same_kind = array.dtype == dtype or (array.dtype.kind in "fV") == real or whole
    if not same_kind or (whole and not real and np.any(cast.astype(array.dtype) != array)):
        raise UsageError(f"--const {info.name} is {array.dtype}, which does not fit the model's {dtype}")
    dims = declared_dims(info)
    return cast.reshape((1,) * len(dims)) if dims is not None and cast.size == 1 else cast


def check_output(info: ValueInfoProto, type: Type, bound: dict[str, int]) -> None:
    """ModelError when an output's type contradicts what the model declares."""
    tensor = info.type.tensor_type
    declared = ELEMENTS.get(tensor.elem_type, element_name(tensor.elem_type)) if tensor.elem_type else type.dtype
    dims = declared_dims(info)
    known = None if dims is None else [bound.get(d, d) if isinstance(d, str) else d for d in dims]
    fits = known is None or (
        len(known) == type.rank and all(isinstance(k, str) or k == d for k, d in zip(known, type.dims, strict=True))
    )
    if declared != type.dtype or not fits:
        raise ModelError(f"output '{info.name}' is declared as {declared} {show(dims)} but is {type}")
