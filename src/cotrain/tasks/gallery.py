"""Every kind of task a config can name."""

from cotrain.core.gallery import Gallery
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

TASKS = Gallery(
    "task kind",
    (Binary, Conditional, Multiclass, Multilabel, Ordinal, Regression, Count, Positive, Quantile, Survival, Box),
    attribute="kind",
)
