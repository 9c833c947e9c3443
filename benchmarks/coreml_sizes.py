"""Sizes of packages with compressed weights: `python benchmarks/coreml_sizes.py [size]`.

A 1x1 convolution of [size, size] weights in halves, for the first iOS that has each form, and for iOS 18 where scales
of channels can stand behind the product. `ideal` counts indices, masks, tables, scales and numbers alone.
"""

from __future__ import annotations

import sys

from coreml_forms import FORMS, graph_of, ideal_bits

from edgec.targets.coreml.deployment import DEPLOYMENTS
from edgec.targets.coreml.package import package_files
from edgec.targets.coreml.program import emit


def main(size: int) -> None:
    print(f"{'form':40} {'target':7} {'bytes':>9} {'bits/w':>7} {'ideal':>7} {'over':>7}")
    for form in FORMS:
        graph, value = graph_of("conv", size, form.passes)
        first = next(d for d in DEPLOYMENTS.values() if d.number >= form.least)
        for deployment in [first, DEPLOYMENTS["ios18"]] if form.behind else [first]:
            files = package_files(emit(graph.module, deployment, True))
            total = sum(map(len, files.values()))
            ideal = ideal_bits(graph, value, True, deployment)
            bits, best = total * 8 / size**2, ideal / size**2
            over = 100 * (bits / best - 1)
            print(f"{form.name:40} {deployment.name:7} {total:9} {bits:7.3f} {best:7.3f} {over:6.2f}%")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1024)
