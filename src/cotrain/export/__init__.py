"""Writes a trained network with its encoders and codecs as one bundle that runs without the training code.

ONNX and torch.export programs, their numerical check against the original, and the bundle's format belong here.
Nothing lives here yet.
"""
