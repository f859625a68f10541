"""One table: every balancing method goes through the same checks, and keeps what it promises."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar, final

import pytest
import torch
from torch import Tensor

from cotrain.balance import conformance, promises
from cotrain.balance.aligned_mtl import AlignedMTL
from cotrain.balance.cagrad import CAGrad
from cotrain.balance.careful import CarefulWeigher
from cotrain.balance.config import ConFIG
from cotrain.balance.conformance import Make, NonconformingError
from cotrain.balance.cov import CoV
from cotrain.balance.cr_mogm import CRMOGM
from cotrain.balance.db_mtl import DBMTL
from cotrain.balance.dualproj import DualProj
from cotrain.balance.dwa import DWA
from cotrain.balance.fairgrad import FairGrad
from cotrain.balance.famo import FAMO
from cotrain.balance.gallery import BALANCERS
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
from cotrain.balance.protocol import Family, Need, Seen
from cotrain.balance.rlw import RLW
from cotrain.balance.static import Static
from cotrain.balance.stch import STCH
from cotrain.balance.sum import Sum
from cotrain.balance.uncertainty import Uncertainty
from cotrain.balance.upgrad import UPGrad

METHODS: dict[str, Make] = {
    "sum": Sum,
    "static": lambda: Static(weights={"a": 2.0, "b": 0.1}),
    "log": Log,
    "uncertainty": Uncertainty,
    "uncertainty revised": lambda: Uncertainty(regularizer="revised", factor={"a": 1.0}),
    "dwa": lambda: DWA(window=1),
    "rlw": RLW,
    "gls": GLS,
    "imtl_l": IMTLL,
    "cov": CoV,
    "cov decay": lambda: CoV(decay=0.9),
    "famo": FAMO,
    "stch": lambda: STCH(warmup=2, mu=0.1),
    "gradnorm": GradNorm,
    "gradnorm all": lambda: GradNorm(where="all"),
    "mgda": MGDA,
    "mgda l2": lambda: MGDA(normalization="l2"),
    "mgda loss": lambda: MGDA(normalization="loss"),
    "mgda loss+": lambda: MGDA(normalization="loss+"),
    "pcgrad": PCGrad,
    "gradvac": GradVac,
    "graddrop": GradDrop,
    "graddrop leak": lambda: GradDrop(leak=0.5),
    "cagrad": CAGrad,
    "cagrad c=1": lambda: CAGrad(c=1.0),
    "nash_mtl": NashMTL,
    "aligned_mtl": AlignedMTL,
    "aligned_mtl median": lambda: AlignedMTL(scale="median"),
    "aligned_mtl rmse": lambda: AlignedMTL(scale="rmse"),
    "fairgrad": FairGrad,
    "fairgrad 2": lambda: FairGrad(alpha=2.0),
    "db_mtl": DBMTL,
    "upgrad": UPGrad,
    "dualproj": DualProj,
    "config": ConFIG,
    "imtl_g": IMTLG,
    "imtl": IMTL,
    "cr_mogm upgrad": lambda: CRMOGM(weigher=UPGrad()),
    "cr_mogm dwa": lambda: CRMOGM(weigher=DWA(window=1)),
}

CHECKS: list[Callable[[Make], None]] = [
    conformance.check_description,
    conformance.check_finite,
    conformance.check_repeats,
    conformance.check_order,
    conformance.check_resume,
    conformance.check_one_task,
    conformance.check_zero_row,
    conformance.check_parallel_rows,
    conformance.check_scale,
    conformance.check_not_finite,
]

PROMISES: list[tuple[str, Callable[[Make], None]]] = [
    ("upgrad", promises.check_harmless),
    ("dualproj", promises.check_harmless),
    ("mgda", promises.check_harmless),
    ("mgda l2", promises.check_harmless),
    ("mgda loss", promises.check_harmless),
    ("mgda loss+", promises.check_harmless),
    ("cagrad c=1", promises.check_harmless),
    ("nash_mtl", promises.check_harmless),
    ("fairgrad", promises.check_harmless),
    ("fairgrad 2", promises.check_harmless),
    ("config", promises.check_harmless),
    ("mgda", promises.check_shortest),
    ("mgda l2", promises.check_simplex),
    ("rlw", promises.check_simplex),
    ("cov", promises.check_simplex),
    ("famo", promises.check_simplex),
    ("imtl_g", promises.check_equal_projections),
    ("imtl", promises.check_equal_projections),
    ("config", promises.check_equal_projections),
    ("nash_mtl", promises.check_bargaining),
    ("fairgrad", promises.check_bargaining),
    ("fairgrad 2", lambda make: promises.check_bargaining(make, alpha=2.0)),
    ("nash_mtl", promises.check_row_scales),
    ("imtl_g", promises.check_row_scales),
    ("config", promises.check_row_scales),
    ("mgda l2", promises.check_row_scales),
    ("log", promises.check_row_scales),
    ("gls", promises.check_row_scales),
    ("db_mtl", promises.check_row_scales),
]


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("method", METHODS)
def test_every_method_conforms(method: str, check: Callable[[Make], None]) -> None:
    check(METHODS[method])


@pytest.mark.parametrize(("method", "check"), PROMISES, ids=lambda value: getattr(value, "__name__", str(value)))
def test_methods_keep_their_promises(method: str, check: Callable[[Make], None]) -> None:
    check(METHODS[method])


def test_every_method_of_the_gallery_is_in_the_table() -> None:
    assert {make().name for make in METHODS.values()} == set(BALANCERS)


@final
class _Forgetful(CarefulWeigher):
    """A method that counts its calls and does not keep the count."""

    name: ClassVar[str] = "forgetful"
    family: ClassVar[Family] = "loss"
    source: ClassVar[str] = "this test"
    cost: ClassVar[str] = "1 joint step"
    needs: frozenset[Need] = frozenset({"losses"})

    def __init__(self) -> None:
        super().__init__()
        self._calls = 0

    def answer(self, seen: Seen) -> Tensor:
        self._calls += 1
        return torch.full_like(seen.losses, self._calls)


def test_the_suite_catches_a_method_that_forgets_its_state() -> None:
    with pytest.raises(NonconformingError, match="state_dict"):
        conformance.check_balancer(_Forgetful)


@pytest.mark.parametrize(
    ("method", "check"),
    [
        ("sum", promises.check_harmless),
        ("sum", promises.check_row_scales),
        ("pcgrad", promises.check_harmless),
        ("upgrad", promises.check_simplex),
        ("mgda", promises.check_equal_projections),
        ("dualproj", promises.check_bargaining),
    ],
    ids=lambda value: getattr(value, "__name__", str(value)),
)
def test_the_promises_are_told_apart(method: str, check: Callable[[Make], None]) -> None:
    with pytest.raises(NonconformingError):
        check(METHODS[method])
