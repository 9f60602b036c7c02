"""Prices and calibrations as JSON text, to be taken over by the database of another process.

Prices hold for one device key (`DeviceIdentity.key`): the device, its cores, jaxlib, XLA's flags.
Those of another key are refused unless the importer says what is to become of them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import Any

from saturax.cost.database import SCHEMA_VERSION, Price, PriceDatabase
from saturax.errors import SaturaxError

FOREIGN = ("refuse", "keep", "adopt")
"""What becomes of prices of other devices: nothing; they are kept under their own device's key
(for `Options.device`); or they count as prices of this device where it has none itself."""


class PriceImportError(SaturaxError):
    """A file of exported prices does not have the expected form."""


@dataclass(frozen=True)
class Imported:
    """What an import did: `taken` and `known` (here already, and not older) count prices and
    calibrations, `refused` maps keys of other devices to the numbers of theirs.
    """

    taken: int
    known: int
    refused: Mapping[str, int]


def export_prices(database: PriceDatabase, versions: Mapping[str, str] | None = None) -> str:
    """All prices and calibrations as JSON text; `versions` of packages say where it comes from."""
    prices, documents = database.everything()
    return json.dumps(
        {
            "format": "saturax prices",
            "version": SCHEMA_VERSION,
            "exported_at": datetime.now(UTC).isoformat(timespec="seconds"),
            "versions": dict(versions or {}),
            "prices": [
                {"device": device, "key": key, **asdict(price)}
                for (device, key), price in sorted(prices.items())
            ],
            "documents": [
                {"device": device, "name": name, "content": content}
                for (device, name), content in sorted(documents.items())
            ],
        },
        indent=1,
    )


def import_prices(
    database: PriceDatabase, text: str, device: str, *, foreign: str = "refuse", source: str = ""
) -> Imported:
    """Merge exported prices into a database, in one transaction.

    Of two prices of one key and device the one that was measured later stays; a calibration that is
    here already stays. `device` is the key of this device, `source` what prices are said to come
    from, `foreign` one of `FOREIGN`.

    Raises:
        PriceImportError: the text is no such export; nothing is stored.
    """
    prices, documents = _parse(text)
    refused: dict[str, int] = {}
    own: dict[tuple[str, str], Price] = {}
    adopted: dict[tuple[str, str], Price] = {}
    for (owner, key), price in prices.items():
        named = replace(price, source=price.source or source or "an import")
        if owner == device or foreign == "keep":
            own[owner, key] = named
        elif foreign == "adopt":
            adopted[device, key] = replace(named, source=f"{named.source}, measured on {owner}")
        else:
            refused[owner] = refused.get(owner, 0) + 1
    kept = {}
    for (owner, name), content in documents.items():
        if owner == device or foreign == "keep":
            kept[owner, name] = content
        elif foreign == "refuse":
            refused[owner] = refused.get(owner, 0) + 1
    taken = database.merge(own, kept) + database.merge(adopted, {}, only_new=True)
    return Imported(taken, len(own) + len(kept) + len(adopted) - taken, refused)


def _parse(text: str) -> tuple[dict[tuple[str, str], Price], dict[tuple[str, str], str]]:
    try:
        data = json.loads(text)
        if (data["format"], data["version"]) != ("saturax prices", SCHEMA_VERSION):
            raise ValueError(f"format {data['format']!r}, version {data['version']!r}")
        return _prices(data["prices"]), {
            (str(entry["device"]), str(entry["name"])): str(entry["content"])
            for entry in data["documents"]
        }
    except (KeyError, TypeError, ValueError) as error:
        raise PriceImportError(
            f"expected prices exported by saturax (version {SCHEMA_VERSION}), but the text could "
            f"not be read: {type(error).__name__}: {error}; export them again"
        ) from error


def _prices(entries: Sequence[Mapping[str, Any]]) -> dict[tuple[str, str], Price]:
    return {
        (str(entry["device"]), str(entry["key"])): Price(
            time_us=float(entry["time_us"]),
            spread=float(entry["spread"]),
            repetitions=int(entry["repetitions"]),
            measured_at=str(entry["measured_at"]),
            source=str(entry["source"]),
            cores=float(entry["cores"]),
        )
        for entry in entries
    }
