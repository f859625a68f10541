"""Every way of sharing a config can name, in three families: shared parameters, shared features, related tasks."""

from cotrain.core.gallery import Gallery
from cotrain.sharing.adapters import Adapters
from cotrain.sharing.apart import Apart
from cotrain.sharing.branched import Branched
from cotrain.sharing.cascade import Cascade
from cotrain.sharing.cgc import CGC
from cotrain.sharing.cross_stitch import CrossStitch
from cotrain.sharing.dselect_k import DSelectK
from cotrain.sharing.feature_selection import FeatureSelection
from cotrain.sharing.film import FiLM
from cotrain.sharing.hard import Hard
from cotrain.sharing.lora import LoRA
from cotrain.sharing.mmoe import MMoE
from cotrain.sharing.mtan import MTAN
from cotrain.sharing.ple import PLE
from cotrain.sharing.soft_l2 import SoftL2
from cotrain.sharing.task_relation import TaskRelation

PARAMETERS = (Apart, Hard, SoftL2, CrossStitch, MMoE, CGC, PLE, DSelectK, Adapters, LoRA)
FEATURES = (MTAN, FiLM, FeatureSelection)
TASKS = (Branched, TaskRelation, Cascade)
SHARINGS = Gallery("sharing", (*PARAMETERS, *FEATURES, *TASKS))
