"""The only place that imports onnx: an ONNX file becomes a Module of core operators."""
