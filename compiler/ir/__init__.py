"""The ground floor: types, graph, operators, text, verifier, interpreter. Imports nothing of ours above it."""
