"""After this there is no graph: kernel calls, blocks and memory. Knows no target; a target hands in plain data."""
