"""Where prices come from: the device that is here, calibrated once, or one that the user names."""

from __future__ import annotations

import time

from saturax.cost.calibrate import load_or_calibrate
from saturax.cost.database import PriceDatabase
from saturax.cost.device import identify
from saturax.cost.model import PriceModel
from saturax.cost.target import named_target
from saturax.run import Run
from saturax.search.pricing import Pricing

_LONGEST_CALIBRATION_S = 30.0


def pricing_of(run: Run, database: PriceDatabase) -> Pricing:
    """Prices of this device, or of the one that the user names."""
    name = run.options.device
    if name is None:
        device = identify()
        run.report.device = device.key
        return Pricing(run, device, database, calibrated(run, database))
    target = named_target(name, database)
    run.report.device, run.report.priced_by = target.key, target.origin
    return Pricing(run, target, database, PriceModel(target.calibration, link=target.link))


def calibrated(run: Run, database: PriceDatabase) -> PriceModel:
    """The model of this device, which is measured once: the time limit begins after it."""
    with run.stage("calibrate") as notes:
        limit_s = _LONGEST_CALIBRATION_S if run.options.measure else 0.0
        started = time.monotonic()
        calibration = load_or_calibrate(database, time_limit_s=limit_s)
        run.count_running(time.monotonic() - started)
        notes["measured"] = calibration.measured_at
        notes["call_us"] = calibration.call_overhead_us
    return PriceModel(calibration)
