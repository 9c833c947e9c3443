"""An interpreter of Core ML packages: numpy over the saved bytes, without coremltools or protobuf."""
