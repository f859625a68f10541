"""What every room may rely on: fields and batches, signals, the contracts, stacked layers, errors, galleries, state and randomness.

Torch and the standard library only. Nothing is imported here, so that the errors can be had without torch.

>>> from cotrain.core.errors import nearest
>>> nearest("drop_out", ["dropout", "widths"])
'dropout'
"""
