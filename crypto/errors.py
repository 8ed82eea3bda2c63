"""The one error with which this package refuses."""

from __future__ import annotations


class CryptoError(Exception):
    """A key, ciphertext, signature container or sealed blob was refused.

    Every refusal of this package is this class. The text is for operators: it names the operation and never
    tells which check failed on secret data (a padding or tag oracle would start there).
    """


class DeviceLost(CryptoError):
    """The device itself failed: nothing is known about the data. Callers answer "unavailable", never "wrong"."""
