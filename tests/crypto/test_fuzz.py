"""Coverage-guided fuzzing of the decoders with atheris; five minutes in the long run."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SECONDS = int(os.environ.get("HIS_FUZZ_SECONDS", "300"))


@pytest.mark.long
@pytest.mark.timeout(SECONDS + 120)
@pytest.mark.requirement("MP-02")
def test_decoders_survive_fuzzing(tmp_path: Path) -> None:
    pytest.importorskip("atheris")
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    command = [
        sys.executable, "-m", "tests.crypto.fuzz_decoders", f"-max_total_time={SECONDS}", "-max_len=2048",
        f"-artifact_prefix={tmp_path}/", "-rss_limit_mb=2048", "-timeout=20", str(corpus),
    ]  # fmt: skip
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-4000:]
    assert len(list(corpus.iterdir())) > 16, "the fuzzer found nothing new: is the package instrumented?"
