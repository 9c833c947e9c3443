"""What runs artifacts. Knows nothing of the compiler."""

assert __name__ == "edgec.runtime", "import edgec.runtime, not the folder runtime"
