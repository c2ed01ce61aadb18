"""The device's student encoder: trimmed, fine-tuned beside its own embedding, exported to ONNX."""
