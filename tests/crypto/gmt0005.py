"""The fifteen randomness tests of GM/T 0005-2021 for sequences of 10^6 bits, with NumPy.

Each function takes a uint8 array of 0 and 1 and returns P-values by name; significance 0.01. Checked against the
published values of NIST SP 800-22 for the first 100 bits of pi where the definitions agree (test_random.py).
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Bits = NDArray[np.uint8]


def igamc(a: float, x: float) -> float:
    """The regularised upper incomplete gamma function Q(a, x)."""
    if x <= 0:
        return 1.0
    front = math.exp(-x + a * math.log(x) - math.lgamma(a))
    if x < a + 1:
        term = total = 1 / a
        n = a
        while term > total * 1e-15:
            n += 1
            term *= x / n
            total += term
        return 1 - front * total
    b = x + 1 - a
    c, d = 1e300, 1 / b
    h = d
    for i in range(1, 10_000):
        an = -i * (i - a)
        b += 2
        d = 1 / (an * d + b or 1e-300)
        c = b + an / c or 1e-300
        h *= c * d
        if abs(c * d - 1) < 1e-15:
            break
    return front * h


def _normal(value: float) -> float:
    return math.erfc(abs(value) / math.sqrt(2))


def _chi(observed: NDArray[np.int64], probabilities: list[float], count: int) -> float:
    expected = np.array(probabilities) * count
    return float(((observed - expected) ** 2 / expected).sum())


def _patterns(bits: Bits, m: int, cyclic: bool) -> NDArray[np.int64]:
    """How often each m-bit pattern occurs at all positions."""
    data = np.concatenate([bits, bits[: m - 1]]) if cyclic else bits
    values = np.zeros(len(data) - m + 1, dtype=np.int64)
    for offset in range(m):
        values = values << 1 | data[offset : offset + len(values)]
    return np.bincount(values, minlength=1 << m)


def _blocks(bits: Bits, m: int) -> Bits:
    return bits[: len(bits) // m * m].reshape(-1, m)


def frequency(bits: Bits) -> dict[str, float]:
    total = 2 * int(bits.sum()) - len(bits)
    return {"frequency": _normal(total / math.sqrt(len(bits)))}


def block_frequency(bits: Bits, m: int = 10_000) -> dict[str, float]:
    blocks = _blocks(bits, m)
    share = blocks.mean(axis=1)
    return {"block frequency": igamc(len(blocks) / 2, float(4 * m * ((share - 0.5) ** 2).sum()) / 2)}


def poker(bits: Bits) -> dict[str, float]:
    result = {}
    for m in (4, 8):
        blocks = _blocks(bits, m)
        counts = np.bincount(blocks @ (1 << np.arange(m)[::-1]), minlength=1 << m).astype(float)
        value = (1 << m) / len(blocks) * float((counts**2).sum()) - len(blocks)
        result[f"poker {m}"] = igamc(((1 << m) - 1) / 2, value / 2)
    return result


def _psi(bits: Bits, m: int) -> float:
    if m == 0:
        return 0.0
    counts = _patterns(bits, m, True).astype(float)
    return (1 << m) / len(bits) * float((counts**2).sum()) - len(bits)


def overlapping(bits: Bits) -> dict[str, float]:
    result = {}
    for m in (3, 5):
        first, second, third = _psi(bits, m), _psi(bits, m - 1), _psi(bits, m - 2)
        result[f"overlapping {m} P1"] = igamc(2 ** (m - 2), (first - second) / 2)
        result[f"overlapping {m} P2"] = igamc(2 ** (m - 3), (first - 2 * second + third) / 2)
    return result


def runs(bits: Bits) -> dict[str, float]:
    n = len(bits)
    share = float(bits.mean())
    total = 1 + int((bits[1:] != bits[:-1]).sum())
    spread = 2 * math.sqrt(2 * n) * share * (1 - share)
    return {"runs": math.erfc(abs(total - 2 * n * share * (1 - share)) / spread) if spread else 0.0}


def runs_distribution(bits: Bits) -> dict[str, float]:
    n = len(bits)
    k = max(i for i in range(1, 60) if (n - i + 3) / 2 ** (i + 2) >= 5)
    borders = np.flatnonzero(np.concatenate([[True], bits[1:] != bits[:-1], [True]]))
    lengths = np.minimum(np.diff(borders), k)
    ones = bits[borders[:-1]] == 1
    total = len(lengths)
    expected = [total / 2 ** (i + 1) if i < k else total / 2**k for i in range(1, k + 1)]
    value = 0.0
    for part in (lengths[ones], lengths[~ones]):
        counts = np.bincount(part, minlength=k + 1)[1:]
        value += float(((counts - expected) ** 2 / expected).sum())
    return {"runs distribution": igamc(k - 1, value / 2)}


def longest_run(bits: Bits, m: int = 10_000) -> dict[str, float]:
    shares = [0.0882, 0.2092, 0.2483, 0.1933, 0.1208, 0.0675, 0.0727]
    result = {}
    for name, data in (("ones", bits), ("zeros", 1 - bits)):
        counts = np.zeros(7, dtype=np.int64)
        blocks = _blocks(data, m)
        for block in blocks:
            edges = np.flatnonzero(np.diff(np.concatenate([[0], block, [0]]).astype(np.int8)))
            longest = int((edges[1::2] - edges[::2]).max(initial=0))
            counts[min(max(longest - 10, 0), 6)] += 1
        result[f"longest run of {name}"] = igamc(3, _chi(counts, shares, len(blocks)) / 2)
    return result


def derivative(bits: Bits) -> dict[str, float]:
    result = {}
    for k in (3, 7):
        data = bits
        for _ in range(k):
            data = data[1:] ^ data[:-1]
        total = 2 * int(data.sum()) - len(data)
        result[f"binary derivative {k}"] = _normal(total / math.sqrt(len(data)))
    return result


def autocorrelation(bits: Bits) -> dict[str, float]:
    result = {}
    for d in (1, 2, 8, 16, 32):
        length = len(bits) - d
        differing = int((bits[d:] ^ bits[:-d]).sum())
        result[f"autocorrelation {d}"] = _normal(2 * (differing - length / 2) / math.sqrt(length))
    return result


def rank(bits: Bits) -> dict[str, float]:
    rows = _blocks(bits, 32) @ (1 << np.arange(32, dtype=np.uint64)[::-1])
    matrices = rows[: len(rows) // 32 * 32].reshape(-1, 32).astype(np.uint64)
    used = np.zeros(matrices.shape, dtype=bool)
    ranks = np.zeros(len(matrices), dtype=np.int64)
    number = np.arange(len(matrices))
    for column in range(32):
        has = (matrices >> np.uint64(column) & np.uint64(1)).astype(bool)
        free = has & ~used
        pivot = free.argmax(axis=1)
        found = free[number, pivot]
        has[number, pivot] = False
        matrices ^= np.where(has & found[:, None], matrices[number, pivot][:, None], np.uint64(0))
        used[number[found], pivot[found]] = True
        ranks += found
    counts = np.array([(ranks == 32).sum(), (ranks == 31).sum(), (ranks < 31).sum()])
    return {"matrix rank": math.exp(-_chi(counts, [0.2888, 0.5776, 0.1336], len(matrices)) / 2)}


def _phi(value: float) -> float:
    return math.erfc(-value / math.sqrt(2)) / 2


def cumulative(bits: Bits) -> dict[str, float]:
    result = {}
    n = len(bits)
    root = math.sqrt(n)
    for name, data in (("forward", bits), ("backward", bits[::-1])):
        z = int(np.abs(np.cumsum(2 * data.astype(np.int64) - 1)).max())
        p = 1.0
        for k in range((-n // z + 1) // 4, (n // z - 1) // 4 + 1):
            p -= _phi((4 * k + 1) * z / root) - _phi((4 * k - 1) * z / root)
        for k in range((-n // z - 3) // 4, (n // z - 1) // 4 + 1):
            p += _phi((4 * k + 3) * z / root) - _phi((4 * k + 1) * z / root)
        result[f"cumulative {name}"] = p
    return result


def approximate_entropy(bits: Bits, sizes: tuple[int, ...] = (2, 5)) -> dict[str, float]:
    def phi(m: int) -> float:
        share = _patterns(bits, m, True) / len(bits)
        share = share[share > 0]
        return float((share * np.log(share)).sum())

    return {
        f"approximate entropy {m}": igamc(2 ** (m - 1), len(bits) * (math.log(2) - (phi(m) - phi(m + 1)))) for m in sizes
    }


def complexity(block: int, m: int) -> int:
    """Length of the shortest LFSR for the m bits of `block`, first bit lowest (Berlekamp–Massey)."""
    c = b = 1
    length, last, seen = 0, -1, 0
    for position in range(m):
        seen = seen << 1 | (block >> position & 1)
        if (c & seen).bit_count() & 1:
            before = c
            c ^= b << (position - last)
            if 2 * length <= position:
                length, last, b = position + 1 - length, position, before
    return length


def linear_complexity(bits: Bits, m: int = 500) -> dict[str, float]:
    shares = [0.010417, 0.03125, 0.125, 0.5, 0.25, 0.0625, 0.020833]
    mean = m / 2 + (9 + (-1) ** (m + 1)) / 36 - (m / 3 + 2 / 9) / 2**m
    counts = np.zeros(7, dtype=np.int64)
    blocks = _blocks(bits, m)
    for block in blocks:
        number = int.from_bytes(np.packbits(block, bitorder="little").tobytes(), "little")
        value = (-1) ** m * (complexity(number, m) - mean) + 2 / 9
        counts[int(min(max(math.ceil(value + 2.5), 0), 6))] += 1
    return {"linear complexity": igamc(3, _chi(counts, shares, len(blocks)) / 2)}


def universal(bits: Bits, length: int = 7, first: int = 1280) -> dict[str, float]:
    values = _blocks(bits, length) @ (1 << np.arange(length)[::-1])
    order = np.argsort(values, kind="stable")
    previous = np.full(len(values), -1)
    same = values[order][1:] == values[order][:-1]
    previous[order[1:][same]] = order[:-1][same]
    count = len(values) - first
    gaps = np.arange(len(values)) - previous
    mean = float(np.log2(gaps[first:]).sum()) / count
    correction = 0.7 - 0.8 / length + (4 + 32 / length) * count ** (-3 / length) / 15
    return {"universal": _normal((mean - 6.1962507) / (correction * math.sqrt(3.125 / count)))}


def fourier(bits: Bits) -> dict[str, float]:
    n = len(bits)
    spectrum = np.abs(np.fft.rfft(2.0 * bits - 1))[: n // 2]
    below = int((spectrum < math.sqrt(2.995732274 * n)).sum())
    return {"fourier": _normal((below - 0.95 * n / 2) / math.sqrt(n * 0.95 * 0.05 / 3.8))}


TESTS: list[Callable[[Bits], dict[str, float]]] = [
    frequency,
    block_frequency,
    poker,
    overlapping,
    runs,
    runs_distribution,
    longest_run,
    derivative,
    autocorrelation,
    rank,
    cumulative,
    approximate_entropy,
    linear_complexity,
    universal,
    fourier,
]


def battery(data: bytes) -> dict[str, float]:
    """All P-values of the fifteen tests over one sequence."""
    bits = np.unpackbits(np.frombuffer(data, dtype=np.uint8))
    result: dict[str, float] = {}
    for test in TESTS:
        result.update(test(bits))
    return result


def uniformity(values: list[float]) -> float:
    """P-value of the uniformity of P-values over ten bins (GM/T 0005 section on the sample)."""
    counts = np.histogram(values, bins=10, range=(0, 1))[0]
    expected = len(values) / 10
    return igamc(4.5, float(((counts - expected) ** 2 / expected).sum()) / 2)
