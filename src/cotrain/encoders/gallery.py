"""Every encoder a config can name."""

from cotrain.core.gallery import Gallery
from cotrain.encoders.mlp import MLP
from cotrain.encoders.tabm import TabM

ENCODERS = Gallery("encoder", (MLP, TabM))
