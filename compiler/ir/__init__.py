"""The ground floor: types, graph, operators, text, verifier, interpreter. Imports numpy and nothing of ours above it."""
