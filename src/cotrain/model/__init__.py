"""Model: encoder, sharing and heads put together.

>>> from cotrain.encoders import MLP
>>> from cotrain.model import Model
>>> from cotrain.sharing import MMoE
>>> from cotrain.tasks import Binary, Regression
>>> model = Model(encoder=MLP(widths=[32, 32]), sharing=MMoE(experts=4), tasks=[Binary("income"), Regression("age")])
>>> model.built
False
"""

from cotrain.model.compose import Model
from cotrain.model.fused import Fused
from cotrain.model.fusion import Fusion

__all__ = ["Fused", "Fusion", "Model"]
