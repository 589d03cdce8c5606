"""Translators of ONNX ops, by family. Each module is found by being here; one op is one short function."""
