"""The packages' whole life in clean roots: ``python packaging/verify/run.py [--target deb-amd64 …]`` (root; long; not in CI).

Each target: a minimal Debian root without network and without Python, booted by systemd in a container of its own; install, unsafe
answers refused, set up, start, a journey through HTTP and through the gateway, all modules in one process and each as its own
service, update and downgrade under load, releases that don't take over, ``his-server update`` with its way back, the manual's daily
commands, backup and restore, the compliance suite, tampering, removal, purge (steps.py). What was found goes to
dist/verify-TARGET.json, one entry per step; the first step that fails ends the target with 1.

Needs: systemd-container mmdebstrap rpm, for arm64 also qemu-user-static binfmt-support, and what ``make packages`` left in dist/ and
in the cache: the next releases to update to are made from that (releases.py).
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time

import releases
from clean_root import DIST, Root
from steps import Verification

ARM64 = "installs,refuses_unsafe_answers,sets_up,starts,is_hardened,journey,updates_under_load,backs_up_and_restores,notices_tampering,goes_away"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--target", default="deb-amd64,deb-amd64-postgresql,rpm-amd64,deb-arm64,rpm-arm64")
    parser.add_argument("--old", default=releases.build.product_version(), help="the release that is installed first")
    parser.add_argument("--steps", help="only these, in their order (arm64 under emulation: " + ARM64 + ")")
    parser.add_argument("--resume", metavar="STEP", help="go on with this step in the root that --keep left running")
    parser.add_argument("--patient", action="store_true", help="longer waits of the root's systemd, on a machine that others keep busy")
    parser.add_argument("--keep", action="store_true", help="leave the root as it is after a failure")
    asked = parser.parse_args()
    failed = False
    for target in asked.target.split(","):
        root = Root(target)
        run = Verification(root, asked.old, patient=asked.patient or root.arch != "amd64")
        wanted = asked.steps or (ARM64 if root.arch == "arm64" else "")
        try:
            steps = [step for step in run.steps() if not wanted or step.__name__ in wanted.split(",")]
            if asked.resume:
                root.attach()
                steps = steps[[step.__name__ for step in steps].index(asked.resume):]
            else:
                root.make()
                root.start()
            for step in steps:
                begun = time.monotonic()
                entry: dict[str, object] = {"step": step.__name__}
                run.results.append(entry)
                entry["found"] = step()
                entry.update(ok=True, seconds=round(time.monotonic() - begun, 1))
                print(target, json.dumps(entry, ensure_ascii=False)[:400], flush=True)
        except (AssertionError, subprocess.SubprocessError, OSError, ValueError) as error:
            run.results[-1:] = [{**(run.results[-1] if run.results else {"step": "boot"}), "ok": False, "error": str(error)[-3000:]}]
            print(target, "FAILED", run.results[-1], flush=True)
            failed = True
        finally:
            if not (failed and asked.keep):
                root.stop()
            (DIST / f"verify-{target}{'-resumed' if asked.resume else ''}.json").write_text(
                json.dumps(run.results, ensure_ascii=False, indent=1))
    sys.exit(failed)


if __name__ == "__main__":
    main()
