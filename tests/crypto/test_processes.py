"""The default provider under threads and fork, as gunicorn uses it."""

from __future__ import annotations

import os
import threading

from crypto import Provider
from crypto import selftest as known


def test_threads(provider: Provider) -> None:
    failures: list[BaseException] = []

    def work(number: int) -> None:
        try:
            for turn in range(20):
                data = bytes((number, turn)) * 20
                private, public = provider.sm2_generate()
                assert provider.sm2_verify(public, data, provider.sm2_sign(private, data))
                assert provider.sm2_verify(known.SM2_PUBLIC, data, provider.sm2_sign(known.SM2_PRIVATE, data))
                assert provider.sm2_decrypt(private, provider.sm2_encrypt(public, data)) == data
                blob = provider.sm4_gcm_encrypt(data[:16], data[:12], b"x")
                assert provider.sm4_gcm_decrypt(data[:16], data[:12], blob) == b"x"
        except BaseException as failed:
            failures.append(failed)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


def test_forked_children_draw_different_numbers_and_work(provider: Provider) -> None:
    provider.random(32)
    draws = []
    for _ in range(4):
        read, write = os.pipe()
        child = os.fork()
        if child == 0:
            code = 1
            try:
                private, public = provider.sm2_generate()
                good = provider.sm2_verify(public, b"x", provider.sm2_sign(private, b"x"))
                os.write(write, provider.random(32) + private)
                code = 0 if good else 2
            finally:
                os._exit(code)
        os.close(write)
        assert os.waitpid(child, 0)[1] == 0
        draws.append(os.read(read, 64))
        os.close(read)
    assert len(set(draws)) == 4 and all(len(draw) == 64 for draw in draws)
    assert provider.random(32) not in {draw[:32] for draw in draws}


def test_signatures_never_repeat_their_random_number(provider: Provider) -> None:
    # r repeats exactly when k does; two such signatures would give the private key away.
    seen = {provider.sm2_sign(known.SM2_PRIVATE, b"same")[:32] for _ in range(300)}
    assert len(seen) == 300
