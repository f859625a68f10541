"""Inputs in the network's own floating dtype: tables often come as float64, layers as float32."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from torch import nn

from cotrain.core.fields import Field


def in_dtype_of(network: nn.Module, fields: Mapping[str, Field]) -> Mapping[str, Field]:
    """The fields with floating values in the dtype of the network's first floating parameter; whole numbers stay as they are."""
    dtype = next((one.dtype for one in network.parameters() if one.is_floating_point()), None)
    if dtype is None or all(one.values.dtype == dtype or not one.values.is_floating_point() for one in fields.values()):
        return fields
    return {
        name: replace(one, values=one.values.to(dtype)) if one.values.is_floating_point() else one
        for name, one in fields.items()
    }
