"""Tasks: what can be predicted. Each kind is a frozen dataclass of values: codec, head, loss, metrics, decode, reference.

>>> import polars as pl
>>> from cotrain.tasks import Binary
>>> task = Binary("income").refitted(pl.DataFrame({"income": [" <50k", ">=50k ", "<50k"]}))
>>> task.codec.classes, task.codec.encode(pl.DataFrame({"income": [">=50k", None]})).present.tolist()
(('<50k', '>=50k'), [True, False])
"""

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

__all__ = [
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
]
