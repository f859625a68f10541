"""Every encoder a config can name."""

from cotrain.core.gallery import Gallery
from cotrain.encoders.mlp import MLP

ENCODERS = Gallery("encoder", (MLP,))
