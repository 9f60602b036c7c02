"""The device that programs are priced for: this one, or one that the user names."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from saturax.cost.collectives import Link
from saturax.cost.database import PriceDatabase
from saturax.cost.device import CALIBRATION_DOCUMENT, Calibration
from saturax.cost.published import DEVICES
from saturax.errors import OptionsError


@dataclass(frozen=True)
class Target:
    """A device to price programs for: the key of its prices, what it can do, and how that is known.

    `origin` says where prices come from if they were not measured on this machine.
    """

    key: str
    platform: str
    calibration: Calibration
    origin: str = ""
    link: Link = field(default_factory=Link)


def named_target(name: str, database: PriceDatabase) -> Target:
    """The device that a user names: one whose prices were imported, else a published one.

    `name` is part of a device's key in the database (in any case), or a name of
    `saturax.cost.published.DEVICES`.

    Raises:
        OptionsError: there is no such device, or several.
    """
    prices, documents = database.everything()
    keys = {device for device, _ in (*prices, *documents)}
    # Whole words: an L40S is no L4.
    words = re.compile(rf"\b{re.escape(name)}\b", re.IGNORECASE)
    found = sorted(key for key in keys if key == name or words.search(key))
    exact = [key for key in found if key == name]
    if len(found) > 1 and not exact:
        listed = "; ".join(found)
        raise OptionsError(
            f"device: {name!r} is part of several devices' keys, give more: {listed}"
        )
    published = {each.lower(): device for each, device in DEVICES.items()}.get(name.lower())
    if found:
        key = (exact or found)[0]
        text = documents.get((key, CALIBRATION_DOCUMENT))
        count = sum(device == key for device, _ in prices)
        if text is not None:
            origin = f"{count} prices in the database and the calibration of {key}"
            link = Link() if published is None else published.link
            return Target(key, key.partition(" | ")[0], Calibration.from_json(text), origin, link)
        if published is not None:
            origin = f"{count} prices in the database and published figures of {published.name}"
            return Target(key, "cuda", published.calibration(), origin, published.link)
        raise OptionsError(
            f"device: the database has prices of {key} but no calibration; run `saturax calibrate` "
            "there, export and import again"
        )
    if published is None:
        raise OptionsError(
            f"device: expected one of {', '.join(DEVICES)}, or part of the key of a device whose "
            f"prices were imported (saturax cache import --foreign keep), got {name!r}"
        )
    origin = f"published figures of {published.name}: a roofline, nothing was measured"
    return Target(published.key, "cuda", published.calibration(), origin, published.link)
