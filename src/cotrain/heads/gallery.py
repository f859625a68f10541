"""Every head a config can name."""

from cotrain.core.gallery import Gallery
from cotrain.heads.linear import LinearHead
from cotrain.heads.mlp import MLPHead
from cotrain.heads.proportional import ProportionalHead
from cotrain.heads.wide_deep import WideDeepHead

HEADS = Gallery("head", (LinearHead, MLPHead, ProportionalHead, WideDeepHead))
