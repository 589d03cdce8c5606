"""Rules by which graphdl's ops are written as ONNX nodes, by family. Each module is found by being here."""
