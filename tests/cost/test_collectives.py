"""Communication is priced by bytes, devices and links; it is never run to be priced."""

from __future__ import annotations

import pytest

from saturax.cost.collectives import COLLECTIVES, Link, collective_us, group_size
from saturax.cost.device import Calibration
from saturax.cost.kernel import Kernel
from saturax.cost.model import PriceModel
from saturax.graph.ops import Generic
from saturax.graph.types import TensorType

LINK = Link(bandwidth_gb_s=10.0, latency_us=5.0)
MB = 1_000_000


def groups(devices: int, count: int = 1) -> Generic:
    return Generic((("replica_groups", f"dense<0> : tensor<{count}x{devices}xi64>"),))


def us(op: str, bytes: int, devices: int) -> float:
    return collective_us(f"stablehlo.{op}", groups(devices), bytes, LINK)


def test_an_all_reduce_is_a_reduce_scatter_and_an_all_gather() -> None:
    for devices in (2, 4, 8):
        assert us("all_reduce", MB, devices) == pytest.approx(
            us("reduce_scatter", MB, devices) + us("all_gather", MB, devices)
        )
    # Of 1 MB at 10 GB/s: twice three quarters of 100 µs, and six steps.
    assert us("all_reduce", MB, 4) == pytest.approx(2 * 75 + 6 * 5)


def test_many_bytes_wait_for_the_link_and_few_for_the_latency() -> None:
    assert us("all_gather", 1000 * MB, 8) == pytest.approx(7 / 8 * 100_000, rel=1e-3)
    assert us("all_gather", 8, 8) == pytest.approx(7 * 5, rel=1e-3)
    assert us("collective_permute", MB, 8) == pytest.approx(100 + 5)
    assert us("all_reduce", MB, 1) == 0


def test_groups() -> None:
    assert group_size(groups(4, 2)) == 4
    assert group_size(Generic()) == 2


@pytest.mark.parametrize("op", sorted(COLLECTIVES))
def test_collectives_are_predicted_and_never_measured(op: str) -> None:
    type = TensorType((1024, 1024), "f32")
    kernel = Kernel(op, (groups(4),), (type,), type)
    model = PriceModel(Calibration("test"), link=LINK)
    assert not kernel.is_measurable
    expected = collective_us(op, groups(4), type.bytes, LINK)
    assert model.predict_us(kernel) == expected + model.calibration.kernel_overhead_us
