"""The national code tables that come with the product: a new installation has them before anybody works in it.

Implements: HS-04, HS-05, HS-06, HS-07.
"""

from __future__ import annotations

from importlib.resources import files

from sqlalchemy import select
from sqlalchemy.orm import Session

from his_server.actor import Actor
from modules.kernel.masterdata.importing.kinds import KINDS
from modules.kernel.masterdata.importing.run import import_file

STANDARD = ("dictionaries", "frequencies", "regions", "postcodes")


def standard_tables(session: Session, actor: Actor) -> None:
    """Import each of them of which there is no row yet: what the hospital changed afterwards stays as it is."""
    for name in STANDARD:
        if session.scalar(select(KINDS[name].model.id).limit(1)) is None:
            import_file(session, actor, name, files("modules.kernel.masterdata") / "data" / f"{name}.csv")
