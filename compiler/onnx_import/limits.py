"""Every limit on a model, in one place; each is checked before the memory it guards is spent."""

MAX_FILE_BYTES = 2 << 30  # protobuf's own limit
MAX_NODES = 100_000  # after inlining and unrolling
MAX_ELEMENTS = 1 << 31  # of one tensor
MAX_NESTING = 16  # of subgraphs
MAX_UNROLL = 1024  # trips of one loop
MAX_RANK = 16
