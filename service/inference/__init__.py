"""Turns images into predictions: decoding, normalising, the loaded model, the forward pass."""
