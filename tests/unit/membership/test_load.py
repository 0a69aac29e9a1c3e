"""Which changes of load are worth telling."""

import pytest

from zmesh.membership.load import Report, is_material
from zmesh.wire.record import Gpu, ServiceLoad

GIB = 1024**3
GPU = Gpu(0, "RTX 3090", 24 * GIB, 20 * GIB, 30)
BASE = Report((ServiceLoad("ocr", 4, 4, 10_000),), 20, 40, (GPU,))


def with_gpu(*, free: int = 20 * GIB, busy: int = 30, memory: int = 24 * GIB) -> Report:
    return Report(BASE.services, 20, 40, (Gpu(0, "RTX 3090", memory, free, busy),))


@pytest.mark.parametrize(
    "new",
    [
        BASE,
        Report(BASE.services, 29, 44, (GPU,)),
        Report((ServiceLoad("ocr", 5, 5, 10_000),), 20, 40, (GPU,)),
        Report((ServiceLoad("ocr", 4, 4, 12_500),), 20, 40, (GPU,)),
        with_gpu(busy=39),
        with_gpu(free=19 * GIB),
    ],
)
def test_wavering_is_not_told(new: Report) -> None:
    assert not is_material(BASE, new)


@pytest.mark.parametrize(
    "new",
    [
        Report(BASE.services, 30, 40, (GPU,)),
        Report(BASE.services, 20, 45, (GPU,)),
        Report((ServiceLoad("ocr", 7, 4, 10_000),), 20, 40, (GPU,)),
        Report((ServiceLoad("ocr", 4, 4, 12_501),), 20, 40, (GPU,)),
        Report((), 20, 40, (GPU,)),
        Report((ServiceLoad("ner", 4, 4, 10_000),), 20, 40, (GPU,)),
        Report(BASE.services, 20, 40, ()),
        with_gpu(busy=40),
        with_gpu(free=18 * GIB),
        with_gpu(memory=25 * GIB),
    ],
)
def test_what_would_change_a_choice_is_told(new: Report) -> None:
    assert is_material(BASE, new)


def test_one_request_more_matters_to_an_idle_box() -> None:
    assert is_material(Report((ServiceLoad("ocr"),)), Report((ServiceLoad("ocr", running=1),)))


def test_a_twentieth_of_a_gpus_memory_is_a_change() -> None:
    told, new = (Report(gpus=(Gpu(0, "small", 1_000, free),)) for free in (500, 450))
    assert is_material(told, new)
