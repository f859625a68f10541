"""Balancing: from the losses of several tasks to one gradient.

A method is a `Weigher` (it answers with weights for what it has seen) or a `Combiner` (it is shown the gradients themselves); the
engine gathers, calls and applies. Importing this room loads torch and nothing else, so that it serves in any training loop.

>>> import torch
>>> from cotrain.balance import NashMTL
>>> NashMTL().weights(torch.eye(2))
tensor([1., 1.])
"""

from cotrain.balance.aligned_mtl import AlignedMTL as AlignedMTL
from cotrain.balance.cagrad import CAGrad as CAGrad
from cotrain.balance.careful import CarefulWeigher as CarefulWeigher
from cotrain.balance.careful import GramianWeigher as GramianWeigher
from cotrain.balance.config import ConFIG as ConFIG
from cotrain.balance.cov import CoV as CoV
from cotrain.balance.cr_mogm import CRMOGM as CRMOGM
from cotrain.balance.db_mtl import DBMTL as DBMTL
from cotrain.balance.dualproj import DualProj as DualProj
from cotrain.balance.dwa import DWA as DWA
from cotrain.balance.engine import Engine as Engine
from cotrain.balance.fairgrad import FairGrad as FairGrad
from cotrain.balance.famo import FAMO as FAMO
from cotrain.balance.gallery import BALANCERS as BALANCERS
from cotrain.balance.gls import GLS as GLS
from cotrain.balance.graddrop import GradDrop as GradDrop
from cotrain.balance.gradnorm import GradNorm as GradNorm
from cotrain.balance.gradvac import GradVac as GradVac
from cotrain.balance.imtl import IMTL as IMTL
from cotrain.balance.imtl_g import IMTLG as IMTLG
from cotrain.balance.imtl_l import IMTLL as IMTLL
from cotrain.balance.log import Log as Log
from cotrain.balance.mgda import MGDA as MGDA
from cotrain.balance.nash_mtl import NashMTL as NashMTL
from cotrain.balance.pcgrad import PCGrad as PCGrad
from cotrain.balance.protocol import Balancer as Balancer
from cotrain.balance.protocol import Combiner as Combiner
from cotrain.balance.protocol import Seen as Seen
from cotrain.balance.protocol import Weigher as Weigher
from cotrain.balance.report import Measurement as Measurement
from cotrain.balance.report import Report as Report
from cotrain.balance.rlw import RLW as RLW
from cotrain.balance.static import Static as Static
from cotrain.balance.stch import STCH as STCH
from cotrain.balance.sum import Sum as Sum
from cotrain.balance.uncertainty import Uncertainty as Uncertainty
from cotrain.balance.upgrad import UPGrad as UPGrad
