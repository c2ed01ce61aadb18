"""Hugging Face folders → ONNX folders → smaller ONNX folders, for decoders and encoders."""
