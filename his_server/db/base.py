"""The declarative base: integer keys given at construction, sealed attributes, tracked fields."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import BigInteger, MetaData, inspect
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from his_server.db import context

NAMING = {
    "ix": "ix_%(column_0_N_label)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
}


class Base(DeclarativeBase):
    """Base of every mapped class. ``metadata`` holds all tables of all loaded modules."""

    metadata = MetaData(naming_convention=NAMING)

    __history__: tuple[str, ...] = ()
    """Attributes whose every change becomes a row of ``field_change`` (:mod:`his_server.db.history`)."""


class Keyed(Base):
    """A table with a block-allocated integer key, known as soon as the object exists."""

    __abstract__ = True

    id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)

    def __init__(self, **values: Any) -> None:
        self.id = values.pop("id", None) or context.database().keys.next()
        cls = type(self)
        for name, value in values.items():
            if not hasattr(cls, name):
                raise TypeError(f"{cls.__name__} has no attribute {name!r}")
            setattr(self, name, value)


class SealedText:
    """``EncryptedText``: an attribute kept as SM4-GCM in ``<name>_sealed``, bound to table, column and row.

    With ``index=True`` a keyed HMAC-SM3 of the normalised text stands in ``<name>_index`` for exact search
    (COMPLIANCE MP-12, MP-13). Search with ``x_index.in_(Class.x.blinds(text))``; :meth:`blind` is what new rows get.
    ``carried``: other columns whose text contains the index; ``his-server keys reseal`` changes them with it.
    ``blank=True``: where there is nothing it reads as an empty text instead of None.
    """

    def __init__(self, *, index: bool = False, normalise: Any = None, carried: tuple[str, ...] = (),
                 blank: bool = False) -> None:
        self.index = index
        self.empty = "" if blank else None
        self.carried = carried
        self.normalise = normalise or (lambda text: text)

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name
        self.table = getattr(owner, "__tablename__", owner.__name__)

    def _place(self, row_id: int) -> str:
        return f"{self.table}.{self.name}:{row_id}"

    def __get__(self, instance: Any, owner: type) -> Any:
        if instance is None:
            return self
        return self.reveal(instance.id, getattr(instance, f"{self.name}_sealed"))

    def reveal(self, row_id: int, blob: bytes | None) -> str | None:
        """The text of a sealed column that was selected without its object. :raises CryptoError: it isn't this row's."""
        if blob is None:
            return self.empty
        text: str = context.database().sealer.open("column", bytes(blob), self._place(row_id)).decode()
        return text

    def reveal_many(self, rows: Sequence[tuple[int, bytes | None]]) -> list[str | None]:
        """:meth:`reveal` of many (row id, blob), as lists need it, in half the time."""
        texts = iter(context.database().sealer.open_many("column", [
            (bytes(blob), self._place(row_id)) for row_id, blob in rows if blob is not None]))
        return [self.empty if blob is None else next(texts).decode() for _, blob in rows]

    def __set__(self, instance: Any, value: str | None) -> None:
        database = context.database()
        text = None if value is None or value == "" else value
        if text is not None and inspect(instance).persistent and self.__get__(instance, type(instance)) == text:
            return
        sealed = None if text is None else database.sealer.seal("column", text.encode(), self._place(instance.id))
        setattr(instance, f"{self.name}_sealed", sealed)
        if self.index:
            setattr(instance, f"{self.name}_index", None if text is None else self.blind(text))

    def blind(self, text: str) -> str:
        """The blind index of ``text``: 64 hex digits, equal for equal normalised texts of this attribute."""
        value: str = context.database().sealer.blind_index("index", self._indexed(text))
        return value

    def blinds(self, text: str) -> list[str]:
        """The blind index under every living key, the active one first: what a search compares with, so that rows
        are found before and after re-indexing."""
        values: list[str] = context.database().sealer.blind_indexes("index", self._indexed(text))
        return values

    def _indexed(self, text: str) -> str:
        return f"{self.table}.{self.name}:{self.normalise(text)}"
