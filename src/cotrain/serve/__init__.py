"""Answers HTTP requests from an exported bundle; it reaches the export room only, never training.

Requests in micro-batches, the bundle's own checks of columns and ranges, health and version belong here.
Nothing lives here yet.
"""
