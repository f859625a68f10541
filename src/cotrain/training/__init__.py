"""Training: an explicit loop around a model, an engine and an optimiser; evaluation; the best constant to compare with.

>>> import torch
>>> from cotrain.encoders import MLP
>>> from cotrain.model import Model
>>> from cotrain.tasks import Binary
>>> from cotrain.training import Trainer, evaluate
>>> x = torch.linspace(-1, 1, 64).unsqueeze(1)
>>> rows = (x, {"positive": (x[:, 0] > 0).float()})
>>> model = Model(encoder=MLP(widths=[32]), tasks=[Binary("positive")])
>>> history = Trainer(model, train={"epochs": 20, "batch_size": 16, "optimizer": {"lr": 0.02}}).fit(rows, rows)
>>> evaluate(model, rows)["positive"]["auc"] > 0.99
True
"""

from cotrain.training.baseline import Baseline as Baseline
from cotrain.training.baseline import constants as constants
from cotrain.training.batch_finder import find_batch_size as find_batch_size
from cotrain.training.cost import cost as cost
from cotrain.training.evaluate import evaluate as evaluate
from cotrain.training.evaluate import gather as gather
from cotrain.training.history import History as History
from cotrain.training.interrupt import Interrupted as Interrupted
from cotrain.training.loop import Trainer as Trainer
from cotrain.training.lr_finder import find_lr as find_lr
from cotrain.training.settings import TrainSettings as TrainSettings
from cotrain.training.watch import Watcher as Watcher
