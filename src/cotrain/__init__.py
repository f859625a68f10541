"""One network for several related tasks: balanced training, and an honest answer to whether sharing helped.

`import cotrain` loads nothing heavy: each name below is fetched from the file that defines it when it is first asked for.

>>> import cotrain
>>> cotrain.Binary("income").kind
'binary'
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cotrain.core.errors import (
        ConfigError,
        CotrainError,
        DataError,
        MissingExtraError,
        RunError,
        StudyError,
        TrainingError,
        UnsupportedError,
    )
    from cotrain.core.fields import Batch, Field
    from cotrain.encoders.convnet import ConvNet
    from cotrain.encoders.ft_transformer import FTTransformer
    from cotrain.encoders.mlp import MLP
    from cotrain.encoders.periodic import Periodic
    from cotrain.encoders.piecewise_linear import PiecewiseLinear
    from cotrain.encoders.pretrained_image import PretrainedImage
    from cotrain.encoders.residual_pictures import ResNet18, ResNet34, ResNet50
    from cotrain.encoders.resnet import ResNet
    from cotrain.encoders.tabm import TabM
    from cotrain.model.compose import Model
    from cotrain.recipe.run import fit, load
    from cotrain.sharing.apart import Apart
    from cotrain.sharing.hard import Hard
    from cotrain.sharing.mmoe import MMoE
    from cotrain.tasks.binary import Binary
    from cotrain.tasks.box import Box
    from cotrain.tasks.conditional import Conditional
    from cotrain.tasks.count import Count
    from cotrain.tasks.multiclass import Multiclass
    from cotrain.tasks.multilabel import Multilabel
    from cotrain.tasks.ordinal import Ordinal
    from cotrain.tasks.positive import Positive
    from cotrain.tasks.quantile import Quantile
    from cotrain.tasks.regression import Regression
    from cotrain.tasks.survival import Survival
    from cotrain.training.loop import Trainer

__version__ = "0.1.0"

__all__ = [
    "fit",
    "load",
    "Model",
    "Trainer",
    "Batch",
    "Field",
    "Binary",
    "Box",
    "Conditional",
    "Multiclass",
    "Multilabel",
    "Ordinal",
    "Regression",
    "Count",
    "Positive",
    "Quantile",
    "Survival",
    "MLP",
    "ResNet",
    "FTTransformer",
    "TabM",
    "ConvNet",
    "ResNet18",
    "ResNet34",
    "ResNet50",
    "PretrainedImage",
    "PiecewiseLinear",
    "Periodic",
    "Apart",
    "Hard",
    "MMoE",
    "CotrainError",
    "ConfigError",
    "DataError",
    "MissingExtraError",
    "RunError",
    "StudyError",
    "TrainingError",
    "UnsupportedError",
    "__version__",
]

_HOME = {
    "fit": "cotrain.recipe.run",
    "load": "cotrain.recipe.run",
    "Model": "cotrain.model.compose",
    "Trainer": "cotrain.training.loop",
    "Batch": "cotrain.core.fields",
    "Field": "cotrain.core.fields",
    "Binary": "cotrain.tasks.binary",
    "Box": "cotrain.tasks.box",
    "Conditional": "cotrain.tasks.conditional",
    "Multiclass": "cotrain.tasks.multiclass",
    "Multilabel": "cotrain.tasks.multilabel",
    "Ordinal": "cotrain.tasks.ordinal",
    "Regression": "cotrain.tasks.regression",
    "Count": "cotrain.tasks.count",
    "Positive": "cotrain.tasks.positive",
    "Quantile": "cotrain.tasks.quantile",
    "Survival": "cotrain.tasks.survival",
    "MLP": "cotrain.encoders.mlp",
    "ResNet": "cotrain.encoders.resnet",
    "FTTransformer": "cotrain.encoders.ft_transformer",
    "TabM": "cotrain.encoders.tabm",
    "ConvNet": "cotrain.encoders.convnet",
    "ResNet18": "cotrain.encoders.residual_pictures",
    "ResNet34": "cotrain.encoders.residual_pictures",
    "ResNet50": "cotrain.encoders.residual_pictures",
    "PretrainedImage": "cotrain.encoders.pretrained_image",
    "PiecewiseLinear": "cotrain.encoders.piecewise_linear",
    "Periodic": "cotrain.encoders.periodic",
    "Apart": "cotrain.sharing.apart",
    "Hard": "cotrain.sharing.hard",
    "MMoE": "cotrain.sharing.mmoe",
    "CotrainError": "cotrain.core.errors",
    "ConfigError": "cotrain.core.errors",
    "DataError": "cotrain.core.errors",
    "MissingExtraError": "cotrain.core.errors",
    "RunError": "cotrain.core.errors",
    "StudyError": "cotrain.core.errors",
    "TrainingError": "cotrain.core.errors",
    "UnsupportedError": "cotrain.core.errors",
}


if not TYPE_CHECKING:  # a checker sees the imports above, and an unknown name as unknown

    def __getattr__(name: str) -> Any:
        home = _HOME.get(name)
        if home is None:
            raise AttributeError(f"module 'cotrain' has no attribute '{name}'; it has: {', '.join(_HOME)}")
        value = getattr(import_module(home), name)
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
