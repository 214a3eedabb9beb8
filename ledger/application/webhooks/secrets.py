"""The secrets that webhooks sign with: random, stored wrapped by the key-encryption key, told to who may register.

A registration and each rotation calls for a secret; who needs it first makes it. So the history has no secrets, and a
crash between the event and its secret leaves nothing undone.
"""

from __future__ import annotations

import base64
import os
from typing import TYPE_CHECKING

from ledger.store.database import translated

if TYPE_CHECKING:
    from uuid import UUID

    import psycopg

    from ledger.application.webhooks.registered import Generation
    from ledger.store.database import Database, Row
    from ledger.store.keyring import KeyEncryptionKeys

SECRET_BYTES = 32
"""Standard Webhooks asks for 24 to 64 bytes."""
PREFIX = "whsec_"

_SELECT = "SELECT epoch, wrapped FROM {schema}.webhook_secrets WHERE webhook_id = %s AND generation = %s"
_INSERT = (
    "INSERT INTO {schema}.webhook_secrets (webhook_id, generation, epoch, wrapped) VALUES (%s, %s, %s, %s)"
    " ON CONFLICT DO NOTHING"
)
FORGET = "DELETE FROM {schema}.webhook_secrets WHERE webhook_id = %s AND generation = ANY(%s::uuid[])"


def _name(webhook_id: UUID, generation: UUID) -> bytes:
    return b"webhook secret\x00" + webhook_id.bytes + generation.bytes


async def secret_of(
    connection: psycopg.AsyncConnection[Row],
    database: Database,
    keks: KeyEncryptionKeys,
    webhook_id: UUID,
    generation: Generation,
) -> str:
    """Returns a webhook's secret in the form `whsec_<base64>`; makes it where nobody has needed it before.

    Raises:
        SettingsError, Unreadable: the key-encryption key that wrapped it is not here, or is another one.
    """
    select = database.bind(_SELECT)
    with translated():
        row = await (await connection.execute(select, (webhook_id, generation.id))).fetchone()
        if row is None:
            name = _name(webhook_id, generation.id)
            values = (webhook_id, generation.id, *keks.wrap(name, os.urandom(SECRET_BYTES)))
            await connection.execute(database.bind(_INSERT), values)
            row = await (await connection.execute(select, (webhook_id, generation.id))).fetchone()
    if row is None:
        message = "A row that was just inserted is not there."
        raise RuntimeError(message)
    secret = keks.unwrap(_name(webhook_id, generation.id), row[0], bytes(row[1]))
    return PREFIX + base64.b64encode(secret).decode()
