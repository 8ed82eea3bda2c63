"""The fifteen tests of GM/T 0005-2021 on a sample of bits: each says with what probability a perfect source does worse.

A sample is bytes, most significant bit first, of a length that its tests can divide. The tests are those of the standard with its
parameters for samples of 10⁶ bits; the discrete Fourier transform takes the longest front that is a power of two, at most
``SPECTRUM`` bits, because it is done in Python.
"""

from __future__ import annotations

import cmath
import math
from collections import Counter
from collections.abc import Callable
from functools import partial
from itertools import accumulate

SPECTRUM = 1 << 17
"""Bits that the Fourier transform looks at: 131 072."""
BLOCK = 10_000
"""Bits of a block where the longest run, or the share of ones, of a block counts."""
LONGEST = (0.0882, 0.2092, 0.2483, 0.1933, 0.1208, 0.0675, 0.0727)
"""How often the longest run of a block of 10 000 bits is at most 10, 11 … 15, at least 16."""
RANKS = (0.2888, 0.5776, 0.1336)
"""How often a 32 × 32 matrix has rank 32, 31, less."""
SIDE = 32
COMPLEXITIES = (0.010417, 0.03125, 0.125, 0.5, 0.25, 0.0625, 0.020833)
"""How often the linear complexity of a block lies that far from its mean: below −2.5, in steps of one, above 2.5."""
WORD, WARM, EXPECTED, VARIANCE = 7, 1280, 6.1962507, 3.125
"""Maurer's test: bits of a word, words that only fill the table, mean and variance of the distance's logarithm."""


def tail(freedom: float, statistic: float) -> float:
    """Upper tail of the chi-squared distribution with ``freedom`` degrees: the incomplete gamma function Q."""
    a, x = freedom / 2, statistic / 2
    if x <= 0:
        return 1.0
    front = math.exp(a * math.log(x) - x - math.lgamma(a))
    if x < a + 1:  # the series of P
        term = total = 1 / a
        n = a
        while abs(term) > abs(total) * 1e-15:
            n += 1
            term *= x / n
            total += term
        return 1 - front * total
    b = x + 1 - a  # the continued fraction of Q, from its end outwards as far as it needs
    c, d = 1e300, 1 / b
    result = d
    for n in range(1, 10_000):
        step = n * (a - n)
        b += 2
        d = 1 / (step * d + b)
        c = b + step / c
        result *= c * d
        if abs(c * d - 1) < 1e-15:
            break
    return front * result


def _normal(z: float) -> float:
    """Both tails of the normal distribution beyond ``z``."""
    return math.erfc(abs(z) / math.sqrt(2))


def _text(data: bytes) -> str:
    return f"{int.from_bytes(data, 'big'):0{len(data) * 8}b}"


def _windows(data: bytes, width: int) -> list[int]:
    """How often each pattern of ``width`` (at most 8) bits stands at any place, the sample taken as a ring."""
    size = len(data) * 8
    value = int.from_bytes(data, "big")
    eight: Counter[int] = Counter()
    for turn in range(8):
        turned = ((value << turn) | (value >> (size - turn))) & ((1 << size) - 1)
        eight.update(turned.to_bytes(len(data), "big"))
    counts = [0] * (1 << width)
    for pattern, count in eight.items():
        counts[pattern >> (8 - width)] += count
    return counts


def _bits(bits: int, size: int) -> float:
    return _normal((2 * bits - size) / math.sqrt(size))


def monobit(data: bytes) -> float:
    """单比特频数: as many ones as zeros."""
    return _bits(int.from_bytes(data, "big").bit_count(), len(data) * 8)


def frequency_in_blocks(data: bytes, bits: int = BLOCK) -> float:
    """块内频数: half of each block's bits are ones."""
    text = _text(data)
    shares = [text.count("1", at, at + bits) / bits for at in range(0, len(text) - bits + 1, bits)]
    return tail(len(shares), 4 * bits * sum((share - 0.5) ** 2 for share in shares))


def poker(data: bytes, bits: int = 8) -> float:
    """扑克: every word of 4 or 8 bits as often as any other."""
    counts = Counter(data) if bits == 8 else Counter(half for byte in data for half in (byte >> 4, byte & 15))
    words = len(data) * 8 // bits
    return tail((1 << bits) - 1, (1 << bits) / words * sum(c * c for c in counts.values()) - words)


def _evenness(data: bytes, bits: int) -> float:
    if bits <= 0:
        return 0.0
    size = len(data) * 8
    return (1 << bits) / size * sum(count * count for count in _windows(data, bits)) - size


def overlapping(data: bytes, bits: int = 5) -> float:
    """重叠子序列: every pattern at any place as often as any other; the worse of the two differences."""
    whole, less, least = (_evenness(data, width) for width in (bits, bits - 1, bits - 2))
    return min(tail(1 << (bits - 1), whole - less), tail(1 << (bits - 2), whole - 2 * less + least))


def runs(data: bytes) -> float:
    """游程总数: the bit changes as often as it stays."""
    size = len(data) * 8
    value = int.from_bytes(data, "big")
    share = value.bit_count() / size
    if share in (0, 1):
        return 0.0
    changes = ((value ^ (value >> 1)) & ((1 << (size - 1)) - 1)).bit_count() + 1
    expected = 2 * size * share * (1 - share)
    return math.erfc(abs(changes - expected) / (2 * math.sqrt(2 * size) * share * (1 - share)))


def run_lengths(data: bytes) -> float:
    """游程分布: half of the runs have one bit, a quarter two, and so on, of ones as of zeros."""
    text = _text(data)
    of = [Counter(map(len, filter(None, text.split(other)))) for other in "01"]
    total = sum(count for one in of for count in one.values())
    most = 1
    while total / 2 ** (most + 2) >= 5:
        most += 1
    statistic = 0.0
    for one in of:
        for length in range(1, most + 1):
            last = length == most
            seen = sum(count for size, count in one.items() if size >= length) if last else one[length]
            expected = total / 2 ** (length if last else length + 1)
            statistic += (seen - expected) ** 2 / expected
    return tail(2 * (most - 1), statistic)


def longest_run(data: bytes, bit: str = "1") -> float:
    """块内最大游程: the longest run of a block of 10 000 bits, of ones or of zeros."""
    text, other = _text(data), "0" if bit == "1" else "1"
    counts = [0] * len(LONGEST)
    for at in range(0, len(text) - BLOCK + 1, BLOCK):
        longest = max(map(len, text[at:at + BLOCK].split(other)))
        counts[min(max(longest - 10, 0), len(LONGEST) - 1)] += 1
    return _fit(counts, LONGEST)


def _fit(counts: list[int], shares: tuple[float, ...]) -> float:
    total = sum(counts)
    return tail(len(shares) - 1, sum((c - total * s) ** 2 / (total * s) for c, s in zip(counts, shares, strict=True)))


def derived(data: bytes, times: int = 7) -> float:
    """二元推导: as many ones as zeros still, when each bit was added to its neighbour so many times."""
    size = len(data) * 8
    value = int.from_bytes(data, "big")
    for _ in range(times):
        size -= 1
        value = (value ^ (value >> 1)) & ((1 << size) - 1)
    return _bits(value.bit_count(), size)


def autocorrelation(data: bytes, shift: int = 8) -> float:
    """自相关: a bit tells nothing of the one so many places on."""
    size = len(data) * 8 - shift
    value = int.from_bytes(data, "big")
    return _bits(((value ^ (value >> shift)) & ((1 << size) - 1)).bit_count(), size)


def matrix_rank(data: bytes) -> float:
    """矩阵秩: matrices of 32 × 32 bits have their full rank as often as chance has it."""
    counts, step = [0, 0, 0], SIDE * SIDE // 8
    for at in range(0, len(data) - step + 1, step):
        basis: list[int] = []
        for row in range(at, at + step, SIDE // 8):
            value = int.from_bytes(data[row:row + SIDE // 8], "big")
            for one in basis:
                value = min(value, value ^ one)
            if value:
                basis.append(value)
        counts[min(SIDE - len(basis), 2)] += 1
    return _fit(counts, RANKS)


_STEPS = [tuple(accumulate(1 if byte >> (7 - n) & 1 else -1 for n in range(8))) for byte in range(256)]
_LOW, _HIGH, _END = [min(s) for s in _STEPS], [max(s) for s in _STEPS], [s[-1] for s in _STEPS]


def cumulative(data: bytes, *, backward: bool = False) -> float:
    """累加和: a walk of one step up or down for each bit doesn't go too far."""
    if backward:
        data = bytes(int(f"{byte:08b}"[::-1], 2) for byte in reversed(data))
    place = furthest = 0
    for byte in data:
        furthest = max(furthest, place + _HIGH[byte], -place - _LOW[byte])
        place += _END[byte]
    size, root = len(data) * 8, math.sqrt(len(data) * 8)

    def below(value: float) -> float:
        return math.erfc(-value / math.sqrt(2)) / 2

    def between(first: int, offsets: tuple[int, int]) -> float:
        return sum(below((4 * k + offsets[0]) * furthest / root) - below((4 * k + offsets[1]) * furthest / root)
                   for k in range(first, math.floor((size / furthest - 1) / 4) + 1))

    return 1 - between(math.floor((-size / furthest + 1) / 4), (1, -1)) + between(math.floor((-size / furthest - 3) / 4), (3, 1))


def approximate_entropy(data: bytes, bits: int = 5) -> float:
    """近似熵: one bit more tells as much as it can."""
    size = len(data) * 8

    def phi(width: int) -> float:
        return sum(count / size * math.log(count / size) for count in _windows(data, width) if count)

    return tail(1 << bits, 2 * size * (math.log(2) - (phi(bits) - phi(bits + 1))))


def complexity(bits: int, size: int) -> int:
    """Length of the shortest linear feedback register that makes these bits, the most significant first (Berlekamp, Massey)."""
    register, former, length, since, seen = 1, 1, 0, 1, 0
    for n in range(size):
        seen = (seen << 1) | (bits >> (size - 1 - n) & 1)
        if (register & seen).bit_count() & 1:  # it foretells the wrong bit
            kept = register
            register ^= former << since
            if 2 * length <= n:
                length, former, since = n + 1 - length, kept, 0
        since += 1
    return length


def linear_complexity(data: bytes, bits: int = 500) -> float:
    """线性复杂度: no short register makes a block."""
    value, size = int.from_bytes(data, "big"), len(data) * 8
    blocks = size // bits
    value >>= size - blocks * bits
    sign = -1 if bits % 2 else 1
    mean = bits / 2 + (9 - sign) / 36 - (bits / 3 + 2 / 9) / 2**bits
    counts, mask = [0] * len(COMPLEXITIES), (1 << bits) - 1
    chunk = value.to_bytes((blocks * bits + 7) // 8, "big")
    text = _text(chunk)[-blocks * bits:]
    for at in range(0, blocks * bits, bits):
        far = sign * (complexity(int(text[at:at + bits], 2) & mask, bits) - mean) + 2 / 9
        counts[min(max(math.ceil(far + 2.5), 0), 6)] += 1
    return _fit(counts, COMPLEXITIES)


def universal(data: bytes) -> float:
    """Maurer 通用统计: a word comes again after as long as chance has it; what can be compressed doesn't."""
    text = _text(data)
    last = [0] * (1 << WORD)
    total, words = 0.0, len(text) // WORD
    for n in range(1, words + 1):
        word = int(text[(n - 1) * WORD:n * WORD], 2)
        if n > WARM:
            total += math.log2(n - last[word])
        last[word] = n
    counted = words - WARM
    factor = 0.7 - 0.8 / WORD + (4 + 32 / WORD) * counted ** (-3 / WORD) / 15
    return _normal((total / counted - EXPECTED) / (factor * math.sqrt(VARIANCE / counted)))


def _transform(values: list[complex], turns: list[complex]) -> list[complex]:
    """The discrete Fourier transform of a power of two of values; ``turns`` are half the unit circle's steps."""
    size = len(values)
    if size == 2:
        return [values[0] + values[1], values[0] - values[1]]
    even, odd = _transform(values[::2], turns[::2]), _transform(values[1::2], turns[::2])
    turned = [turn * one for turn, one in zip(turns, odd, strict=True)]
    return [a + b for a, b in zip(even, turned, strict=True)] + [a - b for a, b in zip(even, turned, strict=True)]


def spectrum(data: bytes, most: int = SPECTRUM) -> float:
    """离散傅里叶: of the frequencies five in a hundred stand out, not more and not fewer."""
    size = 1 << (min(len(data) * 8, most).bit_length() - 1)
    text = _text(data)[:size]
    turns = [cmath.rect(1, -2 * math.pi * n / size) for n in range(size // 2)]
    found = _transform([1 + 0j if bit == "1" else -1 + 0j for bit in text], turns)[:size // 2]
    edge = math.sqrt(math.log(1 / 0.05) * size)
    low = sum(abs(one) < edge for one in found)
    return _normal((low - 0.95 * size / 2) / math.sqrt(size * 0.95 * 0.05 / 4))


Test = Callable[[bytes], float]


TESTS: dict[str, Test] = {
    "单比特频数": monobit,
    f"块内频数（m={BLOCK}）": frequency_in_blocks,
    **{f"扑克（m={m}）": partial(poker, bits=m) for m in (4, 8)},
    **{f"重叠子序列（m={m}）": partial(overlapping, bits=m) for m in (3, 5)},
    "游程总数": runs,
    "游程分布": run_lengths,
    **{f"块内最大游程（全 {bit}）": partial(longest_run, bit=bit) for bit in "10"},
    **{f"二元推导（k={k}）": partial(derived, times=k) for k in (3, 7)},
    **{f"自相关（d={d}）": partial(autocorrelation, shift=d) for d in (1, 2, 8, 16)},
    "矩阵秩": matrix_rank,
    "累加和（前向）": cumulative,
    "累加和（后向）": partial(cumulative, backward=True),
    **{f"近似熵（m={m}）": partial(approximate_entropy, bits=m) for m in (2, 5)},
    "线性复杂度（m=500）": linear_complexity,
    f"Maurer 通用统计（L={WORD}、Q={WARM}）": universal,
    f"离散傅里叶（样本前 {SPECTRUM} 比特）": spectrum,
}
"""The fifteen tests by the standard's names, each with each of its parameters."""
