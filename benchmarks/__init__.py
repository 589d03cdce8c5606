"""Measurements: graphdl beside PyTorch, JAX and ONNX Runtime. `python -m benchmarks --help` tells how."""
