"""Every balancing method by its name in a config: loss methods first, then gradient methods, then the wrapper."""

from __future__ import annotations

from cotrain.balance.aligned_mtl import AlignedMTL
from cotrain.balance.cagrad import CAGrad
from cotrain.balance.config import ConFIG
from cotrain.balance.cov import CoV
from cotrain.balance.cr_mogm import CRMOGM
from cotrain.balance.db_mtl import DBMTL
from cotrain.balance.dualproj import DualProj
from cotrain.balance.dwa import DWA
from cotrain.balance.fairgrad import FairGrad
from cotrain.balance.famo import FAMO
from cotrain.balance.gls import GLS
from cotrain.balance.graddrop import GradDrop
from cotrain.balance.gradnorm import GradNorm
from cotrain.balance.gradvac import GradVac
from cotrain.balance.imtl import IMTL
from cotrain.balance.imtl_g import IMTLG
from cotrain.balance.imtl_l import IMTLL
from cotrain.balance.log import Log
from cotrain.balance.mgda import MGDA
from cotrain.balance.nash_mtl import NashMTL
from cotrain.balance.pcgrad import PCGrad
from cotrain.balance.rlw import RLW
from cotrain.balance.static import Static
from cotrain.balance.stch import STCH
from cotrain.balance.sum import Sum
from cotrain.balance.uncertainty import Uncertainty
from cotrain.balance.upgrad import UPGrad
from cotrain.core.gallery import Gallery

BALANCERS = Gallery(
    "balancer",
    (
        Sum,
        Static,
        Log,
        Uncertainty,
        DWA,
        RLW,
        GLS,
        IMTLL,
        CoV,
        FAMO,
        STCH,
        GradNorm,
        MGDA,
        PCGrad,
        GradVac,
        GradDrop,
        CAGrad,
        NashMTL,
        AlignedMTL,
        FairGrad,
        DBMTL,
        UPGrad,
        DualProj,
        ConFIG,
        IMTLG,
        IMTL,
        CRMOGM,
    ),
)
