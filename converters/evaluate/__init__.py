"""Measuring a model and writing down what came out: the quality card."""
