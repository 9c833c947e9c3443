"""What a user may ask of a package beside what every target has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from edgec.ir.errors import UsageError

Shapes = Mapping[str, tuple[int, ...]]


@dataclass(frozen=True)
class PackageOptions:
    """`states` says of inputs which output they are at the next call (edgec.states), `metadata` are texts by key.
    `variants` are other shapes of the inputs that one function takes, the build's own shapes left out, `ranged` says
    that these are a range; `functions` are the shapes of several functions by name, of which the first has the build's
    own shapes."""

    states: Mapping[str, str] = field(default_factory=dict)
    metadata: Mapping[str, str] = field(default_factory=dict)
    variants: Sequence[Shapes] = ()
    ranged: bool = False
    functions: Mapping[str, Shapes] = field(default_factory=dict)

    @property
    def entries(self) -> int:
        return max(len(self.functions), 1 + len(self.variants))


PLAIN = PackageOptions()


def check_package_options(package: PackageOptions, family: str, fix: bool, data: bool) -> None:
    """UsageError for what is not legal, or not together."""
    if family != "coreml" and package != PLAIN:
        raise UsageError("--state, --metadata, --function and several shapes are for packages: --target coreml")
    if len(package.functions) == 1:
        raise UsageError("--function: one function is the model itself; give two or more, or --shape alone")
    if package.functions and package.variants:
        raise UsageError("--function says each function's shapes: give every --shape once with it")
    if fix and package.entries > 1:
        raise UsageError("--fix looks at one shape: give every --shape once with it, and no --function")
    if data and package.states:
        raise UsageError("--data judges item by item, and a state remembers the last one: leave --state or --data out")
