"""The fifteen tests of GM/T 0005 against published values: the first bits of e (NIST SP 800-22, appendix B and examples), and
the 128 bits of the standard's own examples. Long, because a million bits take a while; a bad source fails each."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial

import pytest

from his_server.compliance import randomness as r

pytestmark = pytest.mark.requirement("MP-18")
EXAMPLE = ("1100110000010101011011000100110011100000000000100100110101010001"
           "0001001111010110100000001101011111001100111001101101100010110010")
MILLION = 1_000_000


def bits_of_e(size: int) -> bytes:
    """e in binary, its two bits before the point first: the sum of 1/k!, by splitting it in halves."""

    def split(first: int, last: int) -> tuple[int, int]:
        if last - first == 1:
            return 1, last
        middle = (first + last) // 2
        (p, q), (s, t) = split(first, middle), split(middle, last)
        return p * t + s, q * t

    p, q = split(0, 110_000 if size > 100_000 else 20_000)
    return ((((p + q) << (size + 62)) // q) >> 64).to_bytes(size // 8, "big")


@pytest.fixture(scope="module")
def e() -> bytes:
    return bits_of_e(MILLION)


@pytest.mark.long
@pytest.mark.parametrize(("test", "published"), [
    (r.monobit, 0.953749),
    (partial(r.frequency_in_blocks, bits=128), 0.211072),
    (r.cumulative, 0.669887),
    (partial(r.cumulative, backward=True), 0.724266),
    (r.runs, 0.561917),
    (r.longest_run, 0.718945),
    (r.matrix_rank, 0.307543),
    (r.universal, 0.282568),
    (partial(r.overlapping, bits=2), 0.561915),
])
def test_the_bits_of_e_give_the_published_values(e: bytes, test: Callable[[bytes], float], published: float) -> None:
    assert test(e) == pytest.approx(published, abs=2e-6)


@pytest.mark.long
def test_with_the_shares_of_nists_program_its_values_come_out(e: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its shares have other last digits than its text and GM/T 0005 have."""
    monkeypatch.setattr(r, "RANKS", (0.2887880950866024, 0.5775761901732048, 0.1336357147401928))
    monkeypatch.setattr(r, "COMPLEXITIES", (0.01047, *r.COMPLEXITIES[1:]))
    assert r.matrix_rank(e) == pytest.approx(0.306156, abs=2e-6)
    assert r.linear_complexity(e) == pytest.approx(0.826335, abs=2e-6)
    assert r.linear_complexity(e, 1000) == pytest.approx(0.845406, abs=2e-6)


@pytest.mark.long
def test_a_tone_stands_out_of_the_spectrum_and_chance_does_not(e: bytes) -> None:
    assert r.spectrum(e) > 0.01
    tone = bytes(byte | 0x80 for byte in e[:r.SPECTRUM // 8])
    assert r.spectrum(tone) < 0.01


@pytest.mark.parametrize(("test", "published"), [
    (r.monobit, 0.215925),
    (partial(r.poker, bits=4), 0.213734),
    (partial(r.overlapping, bits=2), 0.436868),
    (r.runs, 0.620729),
    (partial(r.derived, times=3), 0.039669),
    (partial(r.autocorrelation, shift=1), 0.790080),
])
def test_the_standards_own_example(test: Callable[[bytes], float], published: float) -> None:
    found = test(int(EXAMPLE, 2).to_bytes(16, "big"))
    assert found == pytest.approx(published, abs=2e-6)


def bad_sources() -> dict[str, bytes]:
    size = 40_000
    sound = os.urandom(size)
    biased = bytes(byte | (other & 1) for byte, other in zip(sound, sound[::-1], strict=True))
    counter = b"".join(n.to_bytes(2, "big") for n in range(size // 2))
    return {"constant": bytes(size), "counter": counter, "repeated": sound[:1600] * 25, "biased": biased}


@pytest.mark.parametrize("name", ["constant", "counter", "repeated", "biased"])
def test_a_bad_source_is_told_by_quick_tests(name: str) -> None:
    data = bad_sources()[name]
    quick = (r.monobit, r.runs, partial(r.poker, bits=8), r.frequency_in_blocks, r.approximate_entropy, r.cumulative)
    assert min(test(data) for test in quick) < 0.001


@pytest.mark.parametrize(("bits", "length"), [("1101011110001", 4), ("0000000", 0), ("1", 1), ("00000001", 8), ("1010101010", 2)])
def test_linear_complexity(bits: str, length: int) -> None:
    assert r.complexity(int(bits, 2), len(bits)) == length


def test_the_tail_of_chi_squared() -> None:
    for freedom, statistic, expected in ((1, 3.841459, 0.05), (10, 18.307038, 0.05), (255, 293.247835, 0.05), (2, 4.605170, 0.1),
                                         (6, 4.882457, 0.559179), (100, 0, 1.0)):
        assert r.tail(freedom, statistic) == pytest.approx(expected, abs=5e-4)
