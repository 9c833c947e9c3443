"""Resizing by grids of points: every operator is a list of positions an axis, and how an image is read there.

Positions are computed in float64. Bilinear reading clamps to the image; what lies outside is the operators' own affair.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from edgec.runtime.coreml.call import Call, Unsupported, room
from edgec.runtime.coreml.wire import Array

SAMPLING = ("DEFAULT", "STRICT_ALIGN_CORNERS", "ALIGN_CORNERS", "OFFSET_CORNERS", "UNALIGN_CORNERS")


def positions(first: float, last: float, count: int, mode: str) -> Array:
    """`count` points of the interval of pixels [first, last] by sampling mode: f64 [count]; for an image of n pixels
    first is 0 and last n-1."""
    size = last - first + 1
    steps = np.arange(count, dtype=np.float64)
    if mode == "DEFAULT":
        # (size - size/count) / (count - 1) is size/count
        found = steps * (size / count)
    elif mode == "ALIGN_CORNERS" and count == 1:
        found = np.array([(size - 1) / 2])
    elif mode in ("STRICT_ALIGN_CORNERS", "ALIGN_CORNERS"):
        found = steps * ((size - 1) / (count - 1) if count > 1 else 0.0)
    elif mode == "OFFSET_CORNERS":
        step = max(1.0, size - 1) / count
        found = (steps + 0.5) * step
    elif mode == "UNALIGN_CORNERS":
        found = (steps + 0.5) * (size / count) - 0.5
    else:
        raise ValueError(f"sampling_mode is '{mode}', and must be one of {', '.join(SAMPLING)}")
    return first + np.clip(found, min(0.0, last - first), max(0.0, last - first))


def linear(x: Array, axis: int, at: Array) -> Array:
    """x read between its elements along an axis, which then has as many elements as `at`."""
    left = np.clip(np.floor(at).astype(np.int64), 0, x.shape[axis] - 1)
    right = np.minimum(left + 1, x.shape[axis] - 1)
    weight = (at - left).astype(np.float32).reshape([-1 if a == axis else 1 for a in range(x.ndim)])
    return np.asarray(np.take(x, left, axis) * (1 - weight) + np.take(x, right, axis) * weight)


def _sized(x: Array, sizes: list[int], mode: str) -> Array:
    """x with its last two axes resized by linear interpolation."""
    room([*x.shape[:-2], *sizes])
    for axis, size in zip((x.ndim - 2, x.ndim - 1), sizes, strict=True):
        if size < 1:
            raise ValueError(f"an axis of {size} elements")
        x = linear(x, axis, positions(0, x.shape[axis] - 1, size, mode))
    return x


def _resize_bilinear(call: Call) -> Array:
    sizes = [call.integer("target_size_height", 1), call.integer("target_size_width", 1)]
    return _sized(call.real("x"), sizes, call.text("sampling_mode", "DEFAULT", SAMPLING))


def _nearest(x: Array, axis: int, size: int) -> Array:
    """Element floor(i * old / new)."""
    if size < 1:
        raise ValueError(f"an axis of {size} elements")
    return np.asarray(np.take(x, np.arange(size) * x.shape[axis] // size, axis))


def _resize_nearest(call: Call) -> Array:
    x = call.array("x")
    sizes = [call.integer("target_size_height"), call.integer("target_size_width")]
    room([*x.shape[:-2], *sizes])
    return _nearest(_nearest(x, x.ndim - 2, sizes[0]), x.ndim - 1, sizes[1])


def _factors(call: Call, x: Array) -> list[int]:
    """Sizes of the last two axes by scale factors; fractions are of type fp32."""
    scales = [call.number(f"scale_factor_{name}", 1.0) for name in ("height", "width")]
    sizes = [int(np.floor(np.float32(n) * np.float32(s))) for n, s in zip(x.shape[-2:], scales, strict=True)]
    room([*x.shape[:-2], *sizes])
    return sizes


def _upsample_nearest(call: Call) -> Array:
    x = call.array("x")
    height, width = _factors(call, x)
    return _nearest(_nearest(x, x.ndim - 2, height), x.ndim - 1, width)


def _upsample_bilinear(call: Call) -> Array:
    """The scale is that of the sizes. Corners aligned, else centres of pixels, else neither."""
    x = call.real("x")
    corners = call.flag("align_corners", True)
    centres = call.flag("half_pixel_centers", not corners)
    if corners and centres:
        raise ValueError("align_corners and half_pixel_centers exclude each other")
    mode = "STRICT_ALIGN_CORNERS" if corners else "UNALIGN_CORNERS" if centres else "DEFAULT"
    return _sized(x, _factors(call, x), mode)


def _closest(at: Array) -> Array:
    """The element next to each position, which `resize` takes: not the one before it, as resize_nearest_neighbor does
    (coremltools' mil/ops/tests/iOS17/test_image_resizing.py)."""
    if np.any(np.abs(at - np.floor(at) - 0.5) < 1e-6):
        raise Unsupported("a point lies half way between two elements: which is taken is not documented")
    return np.rint(at).astype(np.int64)


def _resize(call: Call) -> Array:
    """The last `resized_dims` numbers of `shape` are sizes of the last axes; 0 keeps the axis."""
    x, shape, count = call.real("x"), call.integers("shape"), call.integer("resized_dims")
    if count > min(len(shape), x.ndim):
        raise ValueError(f"{count} axes are to be resized, but shape has {len(shape)} numbers and x rank {x.ndim}")
    interpolation = call.text("interpolation_mode", "LINEAR", ("LINEAR", "NEAREST_NEIGHBOR"))
    mode = call.text("sampling_mode", "DEFAULT", SAMPLING)
    integers = x.dtype.kind in "iu"
    if integers and interpolation == "LINEAR":
        raise Unsupported("how linear interpolation of integers rounds is not documented")
    for axis, size in zip(range(x.ndim - count, x.ndim), shape[len(shape) - count :], strict=True):
        size = size or x.shape[axis]
        room([size if a == axis else old for a, old in enumerate(x.shape)])
        at = positions(0, x.shape[axis] - 1, size, mode)
        x = linear(x, axis, at) if interpolation == "LINEAR" else np.take(x, _closest(at), axis)
    return x


BOXES = ("CORNERS_HEIGHT_FIRST", "CORNERS_WIDTH_FIRST", "CENTER_SIZE_HEIGHT_FIRST", "CENTER_SIZE_WIDTH_FIRST")


def _corners(call: Call, box: Array, height: int, width: int) -> tuple[float, float, float, float]:
    """(top, left, bottom, right) of a box in pixels."""
    mode = call.text("box_coordinate_mode", "CORNERS_HEIGHT_FIRST", BOXES)
    values = [float(v) * call.number("spatial_scale", 1.0) for v in box]
    if mode.endswith("WIDTH_FIRST"):
        values = [values[1], values[0], values[3], values[2]]
    if mode.startswith("CENTER"):
        values = [
            values[0] - values[2] / 2,
            values[1] - values[3] / 2,
            values[0] + values[2] / 2,
            values[1] + values[3] / 2,
        ]
    if call.flag("normalized_coordinates"):
        values = [v * (n - 1) for v, n in zip(values, (height, width) * 2, strict=True)]
    top, left, bottom, right = values
    corners = call.text("sampling_mode", "DEFAULT", SAMPLING) in ("ALIGN_CORNERS", "STRICT_ALIGN_CORNERS")
    if (bottom < top or right < left) and not (corners and mode.startswith("CORNERS")):
        raise Unsupported(
            f"the box {box.tolist()} ends before it begins: it is known for corners and ALIGN_CORNERS only"
        )
    return top, left, bottom, right


def _cropped(call: Call, image: Array, box: Array) -> Array:
    """[C, H, W] read on the grid of a box: points beyond the image are `pad_value`."""
    sizes = call.integer("target_height", 1), call.integer("target_width", 1)
    mode = call.text("sampling_mode", "DEFAULT", SAMPLING)
    top, left, bottom, right = _corners(call, box, *image.shape[1:])
    outside = []
    for axis, (first, last, size) in enumerate(((top, bottom, sizes[0]), (left, right, sizes[1])), start=1):
        at = positions(first, last, size, mode)
        outside.append((at < 0) | (at > image.shape[axis] - 1))
        image = linear(image, axis, np.clip(at, 0, image.shape[axis] - 1))
    beyond = outside[0][:, None] | outside[1][None, :]
    return np.where(beyond, np.float32(call.number("pad_value", 0.0)), image)


def _crop_resize(call: Call) -> Array:
    x = call.real("x")
    if call.opset >= 7:
        boxes = call.real("boxes").astype(np.float64)
        indices = call.integers("box_indices", list(range(len(boxes))))
        _boxes_fit(indices, boxes, len(x))
        return np.stack([_cropped(call, x[i], box) for i, box in zip(indices, boxes, strict=True)])
    roi = call.real("roi").astype(np.float64)
    if roi.ndim != 5 or roi.shape[1] != 1 or roi.shape[3:] != (1, 1) or roi.shape[2] not in (4, 5):
        raise ValueError(f"roi has shape {list(roi.shape)} and should have [N,1,4,1,1] or [N,1,5,1,1]")
    flat = roi.reshape(len(roi), -1)
    if flat.shape[1] == 4:
        return np.stack([np.stack([_cropped(call, image, box) for image in x]) for box in flat])
    indices = [int(v) for v in flat[:, 0]]
    _boxes_fit(indices, flat[:, 1:], len(x))
    return np.stack([_cropped(call, x[i], box)[None] for i, box in zip(indices, flat[:, 1:], strict=True)])


def _boxes_fit(indices: list[int], boxes: Array, images: int) -> None:
    if len(indices) != len(boxes) or boxes.shape[1:] != (4,) or not all(0 <= i < images for i in indices):
        raise ValueError(f"boxes {list(boxes.shape)} of the images {indices} do not fit {images} images")


def _normalized(call: Call, at: Array, size: int) -> Array:
    """Coordinates in pixels."""
    mode = call.text("coordinates_mode")
    if mode == "unnormalized":
        return at
    if mode == "normalized_minus_one_to_one":
        unit = (at + 1) / 2
    elif mode == "normalized_zero_to_one":
        unit = at
    else:
        raise ValueError(f"coordinates_mode '{mode}' is unknown")
    return np.asarray(unit * (size - 1) if call.flag("align_corners") else unit * size - 0.5)


def _folded(at: Array, low: float, high: float) -> Array:
    """Coordinates reflected at two ends until they lie between."""
    span = high - low
    if span <= 0:
        return np.full_like(at, low)
    distance = np.mod(at - low, 2 * span)
    return np.asarray(low + np.minimum(distance, 2 * span - distance))


def _read(call: Call, image: Array, xs: Array, ys: Array) -> Array:
    """[C, H, W] at points of pixels [h, w]: [C, h, w]."""
    padding = call.text("padding_mode", None, ("constant", "border", "reflection", "symmetric"))
    height, width = image.shape[1:]
    if padding == "reflection":
        xs, ys = _folded(xs, 0, width - 1), _folded(ys, 0, height - 1)
    elif padding == "symmetric":
        xs, ys = _folded(xs, -0.5, width - 0.5), _folded(ys, -0.5, height - 0.5)
    if padding != "constant":
        xs, ys = np.clip(xs, 0, width - 1), np.clip(ys, 0, height - 1)
    fill = np.float32(call.number("padding_value", 0.0))

    def pixel(row: Array, column: Array) -> Array:
        inside = (row >= 0) & (row < height) & (column >= 0) & (column < width)
        rows = np.clip(row, 0, height - 1).astype(np.int64)
        columns = np.clip(column, 0, width - 1).astype(np.int64)
        return np.where(inside, image[:, rows, columns], fill)

    if call.text("sampling_mode", None, ("bilinear", "nearest")) == "nearest":
        return pixel(np.rint(ys), np.rint(xs))
    left, top = np.floor(xs), np.floor(ys)
    fx, fy = (xs - left).astype(np.float32), (ys - top).astype(np.float32)
    upper = pixel(top, left) * (1 - fx) + pixel(top, left + 1) * fx
    lower = pixel(top + 1, left) * (1 - fx) + pixel(top + 1, left + 1) * fx
    return np.asarray(upper * (1 - fy) + lower * fy)


def _resample(call: Call) -> Array:
    x, at = call.real("x"), call.real("coordinates").astype(np.float64)
    if x.ndim != 4 or at.ndim != 4 or at.shape[0] != x.shape[0] or at.shape[3] != 2:
        raise ValueError(f"coordinates {list(at.shape)} do not fit x {list(x.shape)}")
    height, width = x.shape[2:]
    return np.stack(
        [
            _read(call, image, _normalized(call, c[..., 0], width), _normalized(call, c[..., 1], height))
            for image, c in zip(x, at, strict=True)
        ]
    )


def _affine(call: Call) -> Array:
    """Points of the output, from -1 to 1, go through a matrix to points of the input."""
    x, matrices = call.real("x"), call.real("transform_matrix").astype(np.float64)
    sizes = call.integer("output_height"), call.integer("output_width")
    if not call.flag("align_corners") or call.text("coordinates_mode") != "normalized_minus_one_to_one":
        raise Unsupported("affine is defined for align_corners and normalized_minus_one_to_one only")
    if matrices.shape not in ((1, 6), (len(x), 6)):
        raise ValueError(f"transform_matrix has shape {list(matrices.shape)} for {len(x)} images")
    room([*x.shape[:2], *sizes])
    ys, xs = np.meshgrid(*(np.linspace(-1, 1, n) if n > 1 else np.array([-1.0]) for n in sizes), indexing="ij")
    made = []
    for image, (a0, a1, a2, b0, b1, b2) in zip(x, np.broadcast_to(matrices, (len(x), 6)), strict=True):
        points = a0 * xs + a1 * ys + a2, b0 * xs + b1 * ys + b2
        made.append(_read(call, image, *(_normalized(call, p, n) for p, n in zip(points, x.shape[:1:-1], strict=True))))
    return np.stack(made)


MEANINGS: dict[str, Callable[[Call], Array]] = {
    "resize": _resize,
    "resize_bilinear": _resize_bilinear,
    "resize_nearest_neighbor": _resize_nearest,
    "upsample_bilinear": _upsample_bilinear,
    "upsample_nearest_neighbor": _upsample_nearest,
    "crop_resize": _crop_resize,
    "resample": _resample,
    "affine": _affine,
}
