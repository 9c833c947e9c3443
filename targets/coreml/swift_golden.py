"""NAMEModelTests.swift and NAMEGolden.bin: what the package must give for known inputs, as a test for Xcode.

The binary file holds the arrays that the test names by their first byte, little-endian: float32, int32, and bytes of
pictures. A test of a function with states makes its calls one after the other with one state.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from edgec.targets.apple.features import Feature, Interface
from edgec.targets.apple.swift_names import comment, type_name
from edgec.targets.coreml.deployment import Deployment
from edgec.targets.coreml.swift import available, class_name, file_stem, parameters, properties

Array = np.ndarray[Any, Any]
READ = {"f32": "floats", "i32": "integers", "f16": "halves"}


@dataclass(frozen=True)
class Call:
    """Arrays of one call by the model's names. A picture is u8 [1, height, width, channels] in the order R, G, B."""

    feeds: Mapping[str, Array]
    outputs: Mapping[str, Array]


@dataclass(frozen=True)
class Golden:
    """`tolerance` bounds max|a - b| by a share of max|b|, for each output of floats; integers must be equal."""

    calls: Sequence[Call]
    tolerance: float


def golden_stem(name: str) -> str:
    return f"{type_name(name)}Golden"


def golden_files(
    name: str, interfaces: Sequence[Interface], golden: Mapping[str, Golden], deployment: Deployment, made_by: str
) -> dict[str, bytes]:
    """The two files. `golden` is by function; functions without one are not tested."""
    blob = bytearray()
    several = len(interfaces) > 1
    tests = [
        _test(interface, class_name(name, interface, several), golden[interface.function], blob)
        for interface in interfaces
        if interface.function in golden
    ]
    title = f"{file_stem(name)}Tests"
    tested = [i for i in interfaces if i.function in golden]
    stem = golden_stem(name)
    pictures = any(f.color for i in tested for f in i.inputs)
    imports = "".join(f"import {m}\n" for m in ("CoreML", *(("CoreVideo",) if pictures else ()), "XCTest"))
    text = f"""// {comment(made_by)}: a test of {name}.mlpackage. Not compiled where it was made.
// Add {name}.mlpackage, {file_stem(name)}.swift, {title}.swift and {stem}.bin to a test target.

{imports}
{available(deployment)}
final class {title}: XCTestCase {{
{"".join(tests)}{_HELPERS.replace("GOLDEN", stem)}{_PICTURE if pictures else ""}}}
"""
    return {f"{title}.swift": text.encode(), f"{stem}.bin": bytes(blob)}


def _test(interface: Interface, title: str, golden: Golden, blob: bytearray) -> str:
    names, fields = parameters(interface), properties(interface)
    lines = [f"    let model = try {title}(bundle: Bundle(for: Self.self))"]
    if interface.states:
        lines.append("    let state = model.makeState()")
    if interface.classifier is not None:
        lines.append("    let labels = try XCTUnwrap(model.model.modelDescription.classLabels as? [String])")
    for number, call in enumerate(golden.calls, start=1):
        given = [f"{names[f.feature]}: try {_given(f, call.feeds[f.name], blob)}" for f in interface.inputs]
        given += ["using: state"] if interface.states else []
        lines.append(f"    let output{number} = try model.prediction({', '.join(given)})")
        for i, feature in enumerate(interface.outputs):
            found = f"output{number}.{fields[feature.feature]}"
            if i == 0 and interface.classifier is not None:
                found = f"labels.map {{ Float({found}[$0] ?? .nan) }}"
            elif feature.stored == "f16":
                found = f"(0..<{found}.count).map {{ i in output{number}.{fields[feature.feature]}[i].floatValue }}"
            else:
                found = f"Array({found}.scalars)"
            lines.append(f"    check({found}, try {_expected(feature, call.outputs[feature.name], blob)}, "
                         f'{_bound(feature, golden)}"{feature.feature} of call {number}")')  # fmt: skip
    body = "\n".join(lines)
    return f"  func test{title}() throws {{\n{body}\n  }}\n\n"


def _bound(feature: Feature, golden: Golden) -> str:
    return "" if feature.stored == "i32" else f"tolerance: {golden.tolerance:g}, "


def _given(feature: Feature, array: Array, blob: bytearray) -> str:
    if feature.color:
        height, width = array.shape[-3:-1]
        at = _put(blob, np.ascontiguousarray(array, np.uint8))
        return f"picture({at}, height: {height}, width: {width}, channels: {array.shape[-1]})"
    return f"{READ[feature.stored]}({_put(blob, _stored(feature, array))}, {list(array.shape or (1,))})"


def _expected(feature: Feature, array: Array, blob: bytearray) -> str:
    kind = "Int32" if feature.stored == "i32" else "Float"
    return f"scalars({_put(blob, _stored(feature, array))}, {array.size}, as: {kind}.self)"


def _stored(feature: Feature, array: Array) -> Array:
    """Halves are written as float32, which holds them all."""
    return array.astype("<i4" if feature.stored == "i32" else "<f4")


def _put(blob: bytearray, array: Array) -> int:
    """Where the array begins: at a multiple of its elements' size."""
    blob += bytes(-len(blob) % 4)
    at = len(blob)
    blob += array.tobytes()
    return at


_HELPERS = """  private func scalars<Scalar>(_ offset: Int, _ count: Int, as type: Scalar.Type) throws -> [Scalar] {
    let url = try XCTUnwrap(Bundle(for: Self.self).url(forResource: "GOLDEN", withExtension: "bin"))
    let data = try Data(contentsOf: url)
    return data.withUnsafeBytes { bytes in
      (0..<count).map { i in
        bytes.loadUnaligned(fromByteOffset: offset + i * MemoryLayout<Scalar>.size, as: type)
      }
    }
  }

  private func floats(_ offset: Int, _ shape: [Int]) throws -> MLShapedArray<Float> {
    MLShapedArray(scalars: try scalars(offset, shape.reduce(1, *), as: Float.self), shape: shape)
  }

  private func integers(_ offset: Int, _ shape: [Int]) throws -> MLShapedArray<Int32> {
    MLShapedArray(scalars: try scalars(offset, shape.reduce(1, *), as: Int32.self), shape: shape)
  }

  private func halves(_ offset: Int, _ shape: [Int]) throws -> MLMultiArray {
    let array = try MLMultiArray(shape: shape.map { NSNumber(value: $0) }, dataType: .float16)
    for (i, x) in try scalars(offset, shape.reduce(1, *), as: Float.self).enumerated() {
      array[i] = NSNumber(value: x)
    }
    return array
  }

  private func check(_ found: [Float], _ expected: [Float], tolerance: Float, _ what: String) {
    XCTAssertEqual(found.count, expected.count, what)
    let bound = tolerance * (expected.map { abs($0) }.max() ?? 0)
    for (a, b) in zip(found, expected) where !(abs(a - b) <= bound) && a != b {
      return XCTFail("\\(what): \\(a) instead of \\(b)")
    }
  }

  private func check(_ found: [Int32], _ expected: [Int32], _ what: String) {
    XCTAssertEqual(found, expected, what)
  }
"""
_PICTURE = """
  /// Bytes in the order R, G, B, or one a pixel.
  private func picture(_ offset: Int, height: Int, width: Int, channels: Int) throws -> CVPixelBuffer {
    let bytes = try scalars(offset, height * width * channels, as: UInt8.self)
    let format = channels == 3 ? kCVPixelFormatType_32BGRA : kCVPixelFormatType_OneComponent8
    var made: CVPixelBuffer?
    CVPixelBufferCreate(nil, width, height, format, nil, &made)
    let buffer = try XCTUnwrap(made)
    CVPixelBufferLockBaseAddress(buffer, [])
    defer { CVPixelBufferUnlockBaseAddress(buffer, []) }
    let base = try XCTUnwrap(CVPixelBufferGetBaseAddress(buffer))
    for y in 0..<height {
      let row = base.advanced(by: y * CVPixelBufferGetBytesPerRow(buffer)).assumingMemoryBound(to: UInt8.self)
      for x in 0..<width {
        let pixel = (y * width + x) * channels
        if channels == 3 {
          row[4 * x] = bytes[pixel + 2]
          row[4 * x + 1] = bytes[pixel + 1]
          row[4 * x + 2] = bytes[pixel]
          row[4 * x + 3] = 255
        } else {
          row[x] = bytes[pixel]
        }
      }
    }
    return buffer
  }
"""
