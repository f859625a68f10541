"""Every encoder a config can name."""

from cotrain.core.gallery import Gallery
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

ENCODERS = Gallery(
    "encoder",
    (
        MLP, ResNet, FTTransformer, TabM, ConvNet, ResNet18, ResNet34, ResNet50, PretrainedImage,
        TextConv, TextGRU, TextTransformer, PretrainedText,
    ),
)  # fmt: skip

NUMBERS = Gallery("number embedding", (LinearNumbers, PiecewiseLinear, Periodic))
"""Every way in which numbers can enter an encoder."""
