"""Makes a trained network smaller or faster and says what that cost each task.

Structured pruning, int8 quantisation and distillation from single-task teachers belong here.
Nothing lives here yet.
"""
