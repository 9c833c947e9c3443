"""`--target coreml[:iosNN]`: Core ML packages (ML Program), emitted from the graph itself."""
