"""Encoders: from a source's fields into the shared space, and the stages that can be shared.

>>> from cotrain.core.spec import FieldSpec
>>> from cotrain.encoders import MLP
>>> encoder = MLP(widths=[16, 8]).build({"numbers": FieldSpec("number", names=("a", "b"))})
>>> [shape.width for shape in encoder.shapes]
[2, 16, 8]
"""

from cotrain.encoders.convnet import ConvNet
from cotrain.encoders.ft_transformer import FTTransformer
from cotrain.encoders.linear_numbers import LinearNumbers
from cotrain.encoders.mlp import MLP
from cotrain.encoders.periodic import Periodic
from cotrain.encoders.piecewise_linear import PiecewiseLinear
from cotrain.encoders.pretrained_image import PretrainedImage
from cotrain.encoders.pretrained_text import PretrainedText
from cotrain.encoders.residual_pictures import ResNet18, ResNet34, ResNet50
from cotrain.encoders.resnet import ResNet
from cotrain.encoders.tabm import TabM
from cotrain.encoders.text_conv import TextConv
from cotrain.encoders.text_gru import TextGRU
from cotrain.encoders.text_transformer import TextTransformer

__all__ = [
    "MLP", "FTTransformer", "LinearNumbers", "Periodic", "PiecewiseLinear", "ResNet", "TabM",
    "ConvNet", "ResNet18", "ResNet34", "ResNet50", "PretrainedImage",
    "TextConv", "TextGRU", "TextTransformer", "PretrainedText",
]  # fmt: skip
