"""Programs are priced for devices that are not here only by name, and reports say so."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax.numpy as jnp
import pytest

import saturax
from saturax.cost.database import Price, PriceDatabase
from saturax.cost.device import CALIBRATION_DOCUMENT, default_calibration
from saturax.cost.kernel import Kernel
from saturax.cost.model import PriceModel
from saturax.cost.published import DEVICES
from saturax.cost.target import named_target
from saturax.errors import OptionsError
from saturax.graph.ops import DotDimensions, Precision
from saturax.graph.types import TensorType
from saturax.report.text import explain

A100 = "cuda | NVIDIA A100-SXM4-80GB cuda 12 | 8 cores | 1 threads | jaxlib 0.10.2 | "


@pytest.fixture
def database(tmp_path: Path) -> PriceDatabase:
    return PriceDatabase(tmp_path / "prices.sqlite")


def product(size: int, dtype: str) -> Kernel:
    type = TensorType((size, size), dtype)
    dimensions = DotDimensions((), (), (1,), (0,))
    return Kernel("dot_general", (dimensions, Precision(), dtype), (type, type), type)


@pytest.mark.parametrize("name", DEVICES)
def test_published_figures_give_a_roofline(name: str) -> None:
    device = DEVICES[name]
    model = PriceModel(device.calibration())
    for dtype, size in (("f32", 4), ("bf16", 2)):
        large = model.predict_us(product(8192, dtype))
        assert large == pytest.approx(2 * 8192**3 / device.matrix_tflop_s[dtype] / 1e6, rel=0.1)
        assert model.predict_us(product(16, dtype)) < 3.0  # one launch
        moved = 1 << 30
        expected = moved / device.memory_gb_s / 1e3
        assert model.read_us(TensorType((moved // size,), dtype)) == pytest.approx(expected)


def test_prices_from_the_database_come_before_published_figures(database: PriceDatabase) -> None:
    assert "published figures" in named_target("a100", database).origin
    database.put_many(A100, {"dot": Price(1.0)})
    target = named_target("a100", database)
    assert target.key == A100
    assert target.platform == "cuda"
    assert "1 prices in the database and published figures of NVIDIA A100" in target.origin
    database.put_document(A100, CALIBRATION_DOCUMENT, default_calibration().to_json())
    assert "the calibration of cuda | NVIDIA A100" in named_target("A100", database).origin


def test_names_that_are_unknown_or_stand_for_several(database: PriceDatabase) -> None:
    with pytest.raises(OptionsError, match="expected one of H100, H200"):
        named_target("abacus", database)
    database.put_many("cuda | NVIDIA Z1 a", {"dot": Price(1.0)})
    with pytest.raises(OptionsError, match="no calibration"):
        named_target("z1", database)
    database.put_many("cuda | NVIDIA L40S", {"dot": Price(1.0)})
    assert "published figures of NVIDIA L4" in named_target("L4", database).origin
    database.put_many("cuda | NVIDIA Z1 b", {"dot": Price(1.0)})
    with pytest.raises(OptionsError, match="several devices"):
        named_target("z1", database)


def test_a_program_for_a_device_that_is_not_here(tmp_path: Path) -> None:
    a, x = jnp.ones((512, 512)), jnp.ones(512)

    def function(a: Any, b: Any, x: Any) -> Any:
        return (a @ b) @ x

    with pytest.raises(OptionsError, match="together with measure=False"):
        saturax.Options(device="H100")
    options = saturax.Options(
        device="H100", measure=False, time_limit_s=2.0, database=tmp_path / "prices.sqlite"
    )
    report = saturax.optimize(function, a, a, x, options=options).report
    assert report.outcome == "optimized"
    assert report.device.startswith("cuda | NVIDIA H100")
    assert "a roofline, nothing was measured" in explain(report)
    unknown = saturax.Options(device="abacus", measure=False)
    with pytest.raises(OptionsError, match="expected one of H100"):
        saturax.optimize(function, a, a, x, options=unknown)
