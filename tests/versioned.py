"""Releases that never existed: `received` makes StockReceived and ReceiveStock version 2. In version 1 both had
`pieces` in place of `quantity`, and the command had its fields in another order."""

from __future__ import annotations

from typing import Any, Final

import msgspec
import pytest

from domain import versions
from domain.stock import ReceiveStock, StockReceived
from runtime import envelope as envelopes

FIRST: Final = 1
SECOND: Final = 2


def _event(said: dict[str, Any]) -> dict[str, Any]:
    return {"sku": said["sku"], "quantity": said["pieces"], "reference": None}


def _command(fields: list[Any]) -> list[Any]:
    pieces, sku = fields
    return [sku, pieces, None]


def received(monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes the types version 2, with the steps that lead there."""
    for kind, step in ((StockReceived, _event), (ReceiveStock, _command)):
        monkeypatch.setattr(kind, "schema_version", SECOND)
        monkeypatch.setitem(versions._STEPS, (kind, FIRST), step)


def first_event(sku: str, pieces: int) -> str:
    """The data of an event as the first release wrote it."""
    return msgspec.json.encode({"sku": sku, "pieces": pieces}).decode()


def first_command(sku: str, pieces: int) -> msgspec.Raw:
    """The command as the first release sent it."""
    return msgspec.Raw(msgspec.msgpack.encode(["ReceiveStock", pieces, sku]))


def sealed(envelope: envelopes.Envelope, version: int) -> envelopes.Envelope:
    """The envelope of a command of that version."""
    return msgspec.structs.replace(envelope, version=version)
