"""NAMEModel.swift: a thin typed wrapper around the compiled package, a class a function.

Xcode makes a class of its own from a package, named after it, and a file NAME.swift with it; so class and file have
other names here. The text is not compiled where it is made: it uses Foundation, Core ML and Core Video only.
"""

from __future__ import annotations

from collections.abc import Sequence

from edgec.targets.apple.features import Feature, Interface
from edgec.targets.apple.swift_names import comment, type_name, value_name
from edgec.targets.coreml.deployment import Deployment

SCALARS = {"f32": "Float", "i32": "Int32"}
# names that the wrapper's own functions use
OWN = ("bundle", "computeUnits", "configuration", "features", "made", "model", "state", "url")


def class_name(name: str, interface: Interface, several: bool) -> str:
    return type_name(f"{name} {interface.function if several else ''}") + "Model"


def file_stem(name: str) -> str:
    return type_name(name) + "Model"


def parameters(interface: Interface) -> dict[str, str]:
    """Swift's names of inputs, by feature."""
    taken = set(OWN)
    return {f.feature: value_name(f.feature, taken) for f in interface.inputs}


def properties(interface: Interface) -> dict[str, str]:
    """Swift's names of what leaves, by feature; a classifier's dictionary and label included."""
    taken: set[str] = set()
    features = [f.feature for f in interface.outputs]
    if interface.classifier is not None:
        features.insert(0, interface.classifier.label)
    return {feature: value_name(feature, taken) for feature in features}


def swift_type(feature: Feature) -> str:
    """Halves come as MLMultiArray: Swift has no Float16 on Macs with Intel processors."""
    if feature.color:
        return "CVPixelBuffer"
    return f"MLShapedArray<{SCALARS[feature.stored]}>" if feature.stored in SCALARS else "MLMultiArray"


def wrapper(name: str, interfaces: Sequence[Interface], deployment: Deployment, made_by: str) -> str:
    """The file's text. `name` is the package's without its ending."""
    pictures = any(f.color for interface in interfaces for f in interface.inputs)
    several = len(interfaces) > 1
    classes = [_class(name, i, class_name(name, i, several), deployment, several) for i in interfaces]
    head = f"// {comment(made_by)}: calls {name}.mlpackage. Not compiled where it was made.\n\n"
    imports = "".join(f"import {m}\n" for m in ("CoreML", *(("CoreVideo",) if pictures else ()), "Foundation"))
    return head + imports + "".join(f"\n{text}" for text in classes)


def available(deployment: Deployment) -> str:
    return "@available(" + ", ".join(f"{system}.0" for system in deployment.systems.split(", ")) + ", *)"


def _class(name: str, interface: Interface, title: str, deployment: Deployment, several: bool) -> str:
    function = f'    configuration.functionName = "{interface.function}"\n' if several else ""
    shown = f"The function {interface.function} of {name}.mlpackage." if several else f"The model of {name}.mlpackage."
    state = "\n  /// Zeros, to begin with.\n  public func makeState() -> MLState {\n    model.makeState()\n  }\n"
    return f"""/// {shown}
{available(deployment)}
public final class {title} {{
  public enum Failure: Error {{
    case noModel(String)
    case noOutput(String)
  }}

{_output(interface)}
  public let model: MLModel

  /// The compiled package (.mlmodelc) at `url`.
  public init(contentsOf url: URL, computeUnits: MLComputeUnits = .all) throws {{
    let configuration = MLModelConfiguration()
    configuration.computeUnits = computeUnits
{function}    model = try MLModel(contentsOf: url, configuration: configuration)
  }}

  /// The package that Xcode compiled into `bundle`.
  public convenience init(bundle: Bundle = .main, computeUnits: MLComputeUnits = .all) throws {{
    guard let url = bundle.url(forResource: "{name}", withExtension: "mlmodelc") else {{
      throw Failure.noModel("{name}.mlmodelc")
    }}
    try self.init(contentsOf: url, computeUnits: computeUnits)
  }}
{state if interface.states else ""}
{_prediction(interface)}
{_reading(interface)}}}
"""


def _output(interface: Interface) -> str:
    names = properties(interface)
    lines = []
    classifier = interface.classifier
    if classifier is not None:
        lines.append(f"    /// The most likely label.\n    public let {names[classifier.label]}: String\n")
        lines.append(
            f"    /// {comment(classifier.output)}, by label.\n"
            f"    public let {names[classifier.probabilities]}: [String: Double]\n"
        )
    for feature in _arrays(interface):
        lines.append(f"    /// {_said(feature)}\n    public let {names[feature.feature]}: {swift_type(feature)}\n")
    return "  public struct Output {\n" + "".join(lines) + "  }\n"


def _prediction(interface: Interface) -> str:
    names, fields = parameters(interface), properties(interface)
    notes = "".join(f"  /// - {names[f.feature].strip('`')}: {_said(f)}\n" for f in interface.inputs)
    takes = [f"    {names[f.feature]}: {swift_type(f)}" for f in interface.inputs]
    values = "".join(f'      "{f.feature}": {_value(f, names[f.feature])},\n' for f in interface.inputs) or "      :\n"
    using = ""
    if interface.states:
        takes.append("    using state: MLState")
        using = ", using: state"
    gives = []
    if interface.classifier is not None:
        label, probabilities = interface.classifier.label, interface.classifier.probabilities
        gives.append(f'      {fields[label]}: try Self.label("{label}", made)')
        gives.append(f'      {fields[probabilities]}: try Self.probabilities("{probabilities}", made)')
    for f in _arrays(interface):
        read = "array" if f.stored in SCALARS else "halves"
        gives.append(f'      {fields[f.feature]}: try Self.{read}("{f.feature}", made)')
    comma = ",\n"
    return f"""{notes}  public func prediction(
{comma.join(takes)}
  ) throws -> Output {{
    let features = try MLDictionaryFeatureProvider(dictionary: [
{values}    ])
    let made = try model.prediction(from: features{using})
    return Output(
{comma.join(gives)}
    )
  }}
"""


def _value(feature: Feature, name: str) -> str:
    if feature.color:
        return f"MLFeatureValue(pixelBuffer: {name})"
    return f"MLFeatureValue({'shapedArray' if feature.stored in SCALARS else 'multiArray'}: {name})"


def _arrays(interface: Interface) -> tuple[Feature, ...]:
    return interface.outputs[1:] if interface.classifier is not None else interface.outputs


def _said(feature: Feature) -> str:
    """Which tensor of the model it is."""
    shape = list(feature.shape)
    several = ", or another of its shapes" if feature.sizes is not None else ""
    if feature.color:
        return f"{comment(feature.name)}: {shape[3]} pixels wide, {shape[2]} high{several}"
    return f"{comment(feature.name)}: {feature.stored} {shape}{several}"


_ARRAY = """
  private static func array<Scalar: MLShapedArrayScalar>(
    _ name: String, _ made: MLFeatureProvider
  ) throws -> MLShapedArray<Scalar> {
    guard let found = made.featureValue(for: name)?.shapedArrayValue(of: Scalar.self) else {
      throw Failure.noOutput(name)
    }
    return found
  }
"""
_HALVES = """
  private static func halves(_ name: String, _ made: MLFeatureProvider) throws -> MLMultiArray {
    guard let found = made.featureValue(for: name)?.multiArrayValue else {
      throw Failure.noOutput(name)
    }
    return found
  }
"""
_CLASSIFIED = """
  private static func label(_ name: String, _ made: MLFeatureProvider) throws -> String {
    guard let found = made.featureValue(for: name)?.stringValue else {
      throw Failure.noOutput(name)
    }
    return found
  }

  private static func probabilities(_ name: String, _ made: MLFeatureProvider) throws -> [String: Double] {
    guard let found = made.featureValue(for: name)?.dictionaryValue as? [String: NSNumber] else {
      throw Failure.noOutput(name)
    }
    return found.mapValues { $0.doubleValue }
  }
"""


def _reading(interface: Interface) -> str:
    """What is needed to read the outputs, and no more."""
    stored = {f.stored for f in _arrays(interface)}
    parts = [_ARRAY] if stored & SCALARS.keys() else []
    parts += [_HALVES] if stored - SCALARS.keys() else []
    parts += [_CLASSIFIED] if interface.classifier is not None else []
    return "".join(parts).removeprefix("\n")
