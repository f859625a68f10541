"""Every kind of task a config can name."""

from cotrain.core.gallery import Gallery
from cotrain.tasks.binary import Binary
from cotrain.tasks.multiclass import Multiclass
from cotrain.tasks.regression import Regression

TASKS = Gallery("task kind", (Binary, Multiclass, Regression), attribute="kind")
