"""Every head a config can name."""

from cotrain.core.gallery import Gallery
from cotrain.heads.linear import LinearHead
from cotrain.heads.mlp import MLPHead

HEADS = Gallery("head", (LinearHead, MLPHead))
