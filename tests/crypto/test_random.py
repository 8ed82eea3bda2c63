"""The product's random numbers under the fifteen tests of GM/T 0005-2021, and the tests under bad generators.

The standard judges 1,000 sequences by ≥ 981 passes. With 20 sequences and 30 statistics its three-sigma rule would
reject a perfect generator in one of three runs, so the bounds here are set for one false alarm in about 10^5 runs;
a full 10^9-bit sample is for the laboratory.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable

import pytest

from crypto import Provider

gmt0005 = pytest.importorskip("tests.crypto.gmt0005")
np = pytest.importorskip("numpy")

SEQUENCE = 125_000
ALPHA = 0.01
PI = "1100100100001111110110101010001000100001011010001100001000110100110001001100011001100010100010111000"


def test_published_values_for_pi() -> None:
    bits = np.array([int(bit) for bit in PI], dtype=np.uint8)
    assert gmt0005.frequency(bits)["frequency"] == pytest.approx(0.109599, abs=1e-6)
    assert gmt0005.block_frequency(bits, 10)["block frequency"] == pytest.approx(0.706438, abs=1e-6)
    assert gmt0005.runs(bits)["runs"] == pytest.approx(0.500798, abs=1e-6)
    assert gmt0005.cumulative(bits)["cumulative forward"] == pytest.approx(0.219194, abs=1e-6)
    assert gmt0005.cumulative(bits)["cumulative backward"] == pytest.approx(0.114866, abs=1e-6)
    assert gmt0005.approximate_entropy(bits, (2,))["approximate entropy 2"] == pytest.approx(0.235301, abs=1e-6)
    # 1101011110001 has complexity 4 (SP 800-22 2.10.8).
    assert gmt0005.complexity(int("1101011110001"[::-1], 2), 13) == 4


def test_the_incomplete_gamma_function() -> None:
    for a, x in ((0.5, 0.1), (0.5, 3.0), (4.5, 2.0), (4.5, 30.0), (16, 16.0), (127.5, 100.0)):
        if a == 0.5:
            assert gmt0005.igamc(a, x) == pytest.approx(math.erfc(math.sqrt(x)), rel=1e-10)
        steps = np.linspace(x, x + 400, 2_000_001)
        integrand = np.exp((a - 1) * np.log(steps) - steps - math.lgamma(a))
        assert gmt0005.igamc(a, x) == pytest.approx(float(np.trapezoid(integrand, steps)), rel=1e-5)


@pytest.mark.requirement("MP-18")
def test_one_sequence_of_the_product(provider: Provider) -> None:
    """The short check of the ordinary run: no statistic of one 10^6-bit sequence is beyond belief."""
    values = gmt0005.battery(provider.random(SEQUENCE))
    assert len(values) == 27
    assert min(values.values()) > 1e-7, min(values, key=values.__getitem__)


def _lcg() -> bytes:
    state, out = 12345, bytearray()
    for _ in range(SEQUENCE):
        state = (state * 1103515245 + 12345) & 0x7FFFFFFF
        out.append(state & 0xFF)
    return bytes(out)


def _biased() -> bytes:
    rng = np.random.default_rng(7)
    return np.packbits(rng.random(SEQUENCE * 8) < 0.503).tobytes()


def _repeating() -> bytes:
    block = b"".join(hashlib.new("sm3", bytes((number,))).digest() for number in range(64))
    return (block * (SEQUENCE // len(block) + 1))[:SEQUENCE]


def _lfsr() -> bytes:
    # A 31-bit shift register: perfect in frequency and runs, worthless to a linear test.
    state, bits = 0x12345678, bytearray()
    for _ in range(SEQUENCE * 8):
        bit = (state >> 30 ^ state >> 27) & 1
        state = (state << 1 | bit) & 0x7FFFFFFF
        bits.append(bit)
    return np.packbits(np.frombuffer(bytes(bits), dtype=np.uint8)).tobytes()


def _halves() -> bytes:
    return bytes(SEQUENCE // 2) + b"\xff" * (SEQUENCE // 2)


def _alternating() -> bytes:
    return b"\x55" * SEQUENCE


@pytest.mark.parametrize(
    ("make", "test", "statistic"),
    [
        (_lcg, "fourier", "fourier"),
        (_biased, "frequency", "frequency"),
        (_repeating, "fourier", "fourier"),
        (_lfsr, "linear_complexity", "linear complexity"),
        (_lfsr, "rank", "matrix rank"),
        (_halves, "block_frequency", "block frequency"),
        (_halves, "cumulative", "cumulative forward"),
        (_alternating, "runs", "runs"),
        (_alternating, "approximate_entropy", "approximate entropy 2"),
        (_alternating, "poker", "poker 4"),
        (_alternating, "overlapping", "overlapping 3 P1"),
        (_alternating, "runs_distribution", "runs distribution"),
        (_alternating, "longest_run", "longest run of ones"),
        (_alternating, "derivative", "binary derivative 3"),
        (_alternating, "autocorrelation", "autocorrelation 2"),
        (_alternating, "universal", "universal"),
    ],
)
def test_bad_generators_are_caught(make: Callable[[], bytes], test: str, statistic: str) -> None:
    bits = np.unpackbits(np.frombuffer(make(), dtype=np.uint8))
    assert getattr(gmt0005, test)(bits)[statistic] < 1e-7


@pytest.mark.long
@pytest.mark.timeout(900)
@pytest.mark.requirement("MP-18")
def test_twenty_sequences_of_a_million_bits(provider: Provider) -> None:
    results = [gmt0005.battery(provider.random(SEQUENCE)) for _ in range(20)]
    failures = {name: sum(result[name] < ALPHA for result in results) for name in results[0]}
    spread = {name: gmt0005.uniformity([result[name] for result in results]) for name in results[0]}
    print(f"\nfailures of 20 at alpha 0.01: {failures}\nuniformity: { {n: round(v, 4) for n, v in spread.items()} }")
    assert max(failures.values()) <= 4, failures
    assert sum(failures.values()) <= 20, failures
    assert min(spread.values()) > 1e-6, spread
