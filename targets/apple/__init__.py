"""What Apple's formats have in common: features, metadata, labels, names in Swift.

Knows no format of programs and no coremltools.
"""
