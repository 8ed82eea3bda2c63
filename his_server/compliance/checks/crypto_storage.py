"""What lies in the database and in files: passwords, sealed values, indexes, keys (MP-03, 06, 12, 13, 16)."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import os
import stat
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from his_server.compliance.checks.crypto_algorithms import sm3
from his_server.compliance.frame import Evidence, NotRun, check
from his_server.compliance.target import Target

BLOB_FRONT, NONCE, TAG = 5, 12, 16
"""A sealed value: version 1, key id 4, nonce 12, ciphertext, tag 16 (docs/crypto.md)."""
ROUNDS = 10_000
BIGGEST = 512 * 2**20
PASSED_OVER = {".venv", "node_modules", ".git", "__pycache__", "tests"}
"""Folders of a developer's tree that no installation has."""
PEM_PRIVATE = (b"-----BEGIN PRIVATE KEY", b"-----BEGIN EC PRIVATE KEY")


@check("MP-03", "http", "accounts", "database")
def modes(target: Target, seen: Evidence) -> None:
    """Equal values have nothing equal in the database; no nonce and no block twice; an altered bit is an error."""
    same = f"{target.mark}相同住址一百零一号相同住址一百零一号"
    persons = [target.another_patient(home_detail=same) for _ in range(2)]
    rows = [target.db.rows("person", id=person)[0] for person in persons]
    first, second = (bytes(row["home_detail_sealed"]) for row in rows)
    seen.see(first[BLOB_FRONT:] != second[BLOB_FRONT:], "两名病人的相同住址密文不同", f"{len(first)} 字节")
    blobs: list[tuple[str, bytes]] = [
        (place, value)
        for place, value in target.db.cells(limit=3000)
        if isinstance(value, bytes) and place.endswith("_sealed") and len(value) > BLOB_FRONT + NONCE + TAG
    ]
    nonces = Counter(value[: BLOB_FRONT + NONCE] for _, value in blobs)
    seen.see(
        len(blobs) >= 2 and max(nonces.values(), default=0) == 1,
        "全部密文的随机数不重复",
        f"{len(blobs)} 个密文，{len(nonces)} 个随机数",
    )
    blocks: Counter[bytes] = Counter()
    for _, value in blobs:
        body = value[BLOB_FRONT + NONCE : -TAG]
        blocks.update(body[at : at + 16] for at in range(0, len(body) - 15, 16))
    again = [block for block, count in blocks.items() if count > 1]
    seen.see(not again, "没有重复的 16 字节密文块（非 ECB）", f"{sum(blocks.values())} 块，重复 {len(again)}")
    if not target.disturb:
        seen.lacks("翻转一比特（需 --allow-disturbing）")
        return
    bad = first[:-1] + bytes((first[-1] ^ 1,))
    with target.db.altered("person", {"id": persons[0]}, home_detail_sealed=bad):
        answer = target.whoever("patients.view").get(f"/api/patients/{persons[0]}")
    seen.see(answer.status >= 400, "密文翻转一比特：报错而不是给出乱码", f"{answer.status} {answer.code}")


@check("MP-06", "http", "accounts", "database")
def passwords(target: Target, seen: Evidence) -> None:
    """Verifiers are salted, slow, of SM3 and keyed; one password, two accounts, nothing equal; nothing can be reversed."""
    word = target.password()
    boss = target.admin("sysadmin")
    ids = []
    for _ in range(2):
        account = target.new_account()
        boss.post(f"/api/security/users/{account.id}/password", boss.sealed(password=word)).good("设置口令")
        ids.append(account.id)
    stored = [str(target.db.rows("security_user", id=one)[0]["password"]) for one in ids]
    seen.see(stored[0] != stored[1], "两个账户同一口令，存储值不同", "不同")
    everyone = [str(row["password"]) for row in target.db.rows("security_user")]
    parsed = [text.split("$") for text in everyone]
    good = [p for p in parsed if len(p) == 4 and p[0] == "pbkdf2-sm3" and int(p[1]) >= ROUNDS and len(p[2]) >= 32]
    seen.see(
        len(good) == len(everyone),
        f"全部为 PBKDF2-HMAC-SM3，不少于 {ROUNDS} 轮，盐不少于 128 位",
        f"{len(good)}/{len(everyone)}，轮数 {sorted({p[1] for p in good})}",
    )
    salts = [p[2] for p in good]
    seen.see(len(set(salts)) == len(salts), "盐不重复", f"{len(set(salts))} 个")
    for text in stored:
        _, rounds, salt, mac = text.split("$")
        plain = hashlib.pbkdf2_hmac("sm3", word.encode(), bytes.fromhex(salt), int(rounds), 32).hex()
        seen.see(plain != mac, "存储值还须密钥才能验证（拿到库也不能试口令）", "不是裸 PBKDF2")
    raw = word.encode()
    forms = [raw, raw[::-1], raw.hex().encode(), base64.b64encode(raw), word.encode("utf-16-le")]
    hits = [place for place, value in target.db.cells() if any(form in _bytes(value) for form in forms)]
    seen.see(not hits, "库中任何列都没有口令的可逆形式", hits or "0 处")


def _bytes(value: Any) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode()


@check("MP-12", "http", "accounts", "database")
def marker_scan(target: Target, seen: Evidence) -> None:
    """A patient of nothing but markers, then every column of every table and every file: no marker in clear."""
    person, markers = target.patient, target.markers
    editor = target.whoever("patients.edit")
    file = editor.get(f"/api/patients/{person}").good("打开病人")
    changed = f"{target.mark}改后住址"
    editor.put(f"/api/patients/{person}", {"revision": file["revision"], "home_detail": changed}).good("修改住址")
    wanted = {**markers, "home_detail（改后）": changed}
    cells, hits, control = 0, [], False
    for place, value in target.db.cells():
        cells += 1
        data = _bytes(value)
        control = control or target.mark.encode() in data
        hits += [f"{name} 在 {place}" for name, marker in wanted.items() if marker.encode() in data]
    seen.see(control, "扫描有效：能找到允许明文的姓名标记", f"{cells} 个值")
    seen.see(not hits, f"{len(target.db.names)} 张表全部文本与二进制列中没有敏感标记", hits[:5] or "0 处")
    places = [folder for folder in (target.data_dir, target.log_dir) if folder is not None]
    if not places:
        seen.lacks("数据与日志文件（需 --data-dir、--log-dir）")
        return
    files = list(_files(places))
    found = [f"{name} 在 {path.name}" for path in files for name, marker in wanted.items() if _holds(path, marker.encode())]
    seen.see(files and not found, "数据目录与日志目录的文件中没有敏感标记", found[:5] or f"{len(files)} 个文件，0 处")


def _files(folders: list[Path]) -> Iterator[Path]:
    for top in folders:
        for folder, inside, names in os.walk(top):
            inside[:] = sorted(set(inside) - PASSED_OVER)
            for name in sorted(names):
                path = Path(folder) / name
                with contextlib.suppress(OSError):
                    if path.is_file() and path.stat().st_size <= BIGGEST:
                        yield path


def _holds(path: Path, *wanted: bytes) -> bool:
    """Whether a file holds one of these, read in pieces that overlap."""
    longest = max(len(one) for one in wanted)
    try:
        with path.open("rb") as file:
            rest = b""
            while chunk := file.read(1 << 22):
                if any(one in rest + chunk for one in wanted):
                    return True
                rest = chunk[-longest:]
    except FileNotFoundError:  # a journal that came and went
        return False
    return False


@check("MP-13", "http", "accounts", "database")
def blind_index(target: Target, seen: Evidence) -> None:
    """A whole number is found; its index is no plain digest, and not of the key that seals."""
    person, number = target.patient, target.markers["id_no"]
    found = target.whoever("patients.view").get(f"/api/patients?q={number}").good("检索")["items"]
    seen.see([one["id"] for one in found] == [person], "按完整证件号检索到该病人", len(found))
    part = target.whoever("patients.view").get(f"/api/patients?q={number[:12]}").json.get("items")
    seen.see(part == [], "证件号前 12 位检索不到（不能逐位试探）", len(part or ()))
    rows = target.db.rows("person_identifier", person_id=person, kind="id_no")
    index = str(rows[0]["number_index"])
    texts = (
        number,
        number.lower(),
        f"id_no:{number}",
        f"person_identifier.number:{number}",
        f"number:{number}",
        f"{person}{number}",
    )
    digests = {sm3(text.encode()).hex() for text in texts}
    seen.see(
        not any(digest[:48] in index or index[8:56] in digest for digest in digests), "索引不是证件号的裸 SM3", index[:8] + "…"
    )
    sealed = bytes(rows[0]["number_sealed"]) if rows[0].get("number_sealed") else b""
    seen.see(
        sealed and sealed[1:5].hex() != index[:8],
        "索引密钥与加密密钥不是同一把",
        f"索引密钥 {index[:8]}，加密密钥 {sealed[1:5].hex()}",
    )


@check("MP-16", "data", "database")
def key_scan(target: Target, seen: Evidence) -> None:
    """No key in clear in files, processes, logs or the database; key files are private; rotation works."""
    assert target.data_dir is not None
    masters = [path for path in _files([target.data_dir]) if path.name == "master.key"]
    rings = [path for path in _files([target.data_dir]) if path.name == "ring.json"]
    if not rings:
        raise NotRun("数据目录中没有密钥环")
    for path in (*masters, *rings):
        mode = stat.S_IMODE(path.stat().st_mode)
        seen.see(mode & 0o077 == 0, f"{path.name} 只有属主可读写", oct(mode))
    secrets = [path.read_bytes().strip() for path in masters]
    forms = [form for secret in secrets for form in _forms(secret)]
    places = [folder for folder in (target.data_dir, target.log_dir, target.app_dir) if folder is not None]
    files = [path for path in _files(places) if path.name != "master.key"]
    if forms:
        found = [path.name for path in files if _holds(path, *forms)]
        seen.see(not found, "主密钥不出现在其他文件中", found or f"{len(files)} 个文件")
        inside = [place for place, value in target.db.cells() if any(form in _bytes(value) for form in forms)]
        seen.see(not inside, "主密钥不出现在数据库中", inside or "0 处")
        processes = [pid for pid, text in _processes() if any(form in text for form in forms)]
        seen.see(not processes, "主密钥不出现在任何进程的参数与环境变量中", processes or "0 个")
    private = [path.name for path in files if path.suffix not in (".py", ".md", ".js", ".pyc") and _holds(path, *PEM_PRIVATE)]
    seen.see(not private, "没有明文 PEM 私钥文件", private or "无")
    if not (target.disturb and target.command and target.missing(("http", "accounts")) == []):
        seen.lacks("轮换（需 --allow-disturbing 与命令）")
        return
    before = target.another_patient(home_detail=f"{target.mark}旧密钥住址")
    done = target.his("keys", "rotate", "column")
    seen.see(done.code == 0, "轮换列加密密钥", done.out[-120:])
    time.sleep(2)  # running processes look at the ring once a second
    after = target.another_patient(home_detail=f"{target.mark}新密钥住址")
    kids = [bytes(target.db.rows("person", id=one)[0]["home_detail_sealed"])[1:5].hex() for one in (before, after)]
    seen.see(kids[0] != kids[1], "新数据用新密钥，行中存有密钥版本", " → ".join(kids))
    seen.see(target.whoever("patients.view").get(f"/api/patients/{before}").status == 200, "旧数据仍可读", 200)
    _split_and_destroyed(target, seen, rings[0], masters)


def _split_and_destroyed(target: Target, seen: Evidence, ring: Path, masters: list[Path]) -> None:
    """On a copy of the ring: any two of three shares make the master key again, one alone doesn't; destroyed it is gone."""
    if len(masters) != 1:
        seen.lacks("密钥分割备份与销毁（主密钥在密码机中，由密钥管理员按密码机的规程演示）")
        return
    with target.workplace() as folder:
        shares, copy, again, alone = (folder / name for name in ("shares", "ring.json", "again.key", "alone.key"))
        split = target.his("keys", "split", "--need", "2", "--shares", "3", "--out", str(shares))
        if split.code != 0:
            seen.lacks(f"密钥分割备份与销毁（主密钥有口令保护，由密钥管理员当场演示：{split.out[-80:].strip()}）")
            return
        parts = sorted(str(path) for path in shares.iterdir())
        target.secrets |= {Path(part).read_text("ascii").strip() for part in parts}
        seen.see(len(parts) == 3, "主密钥分为三份", split.out.strip()[-80:])
        one = target.his("keys", "combine", "--master", str(alone), parts[0])
        seen.see(one.code != 0 or alone.read_bytes() != masters[0].read_bytes(), "一份不能恢复主密钥", one.out[-100:].strip())
        two = target.his("keys", "combine", "--master", str(again), parts[0], parts[2])
        copy.write_bytes(ring.read_bytes())
        copy.chmod(0o600)
        target.hand_over(copy)
        opened = target.his("keys", "status", "--ring", str(copy), "--master", str(again))
        seen.see(two.code == opened.code == 0, "任意两份恢复的主密钥打得开密钥环", opened.out[-100:].strip() or two.out[-100:])
        gone = target.his("keys", "destroy", "--ring", str(copy), "--master", str(again), "--yes")
        left = [path.name for path in (copy, again) if path.exists() and path.stat().st_size]
        seen.see(gone.code == 0 and not left, "销毁（在副本上）：密钥环与主密钥文件不复存在", left or gone.out.strip()[-80:])


def _forms(secret: bytes) -> list[bytes]:
    """A key as it stands in the file, and what its text stands for."""
    found = [secret]
    with contextlib.suppress(ValueError):
        found.append(bytes.fromhex(secret.decode("ascii", "replace")))
    with contextlib.suppress(ValueError):
        found.append(base64.b64decode(secret, validate=True))
    return [form for form in found if len(form) >= 16]


def _processes() -> Iterator[tuple[int, bytes]]:
    for folder in Path("/proc").glob("[0-9]*"):
        text = b""
        for name in ("environ", "cmdline"):
            with contextlib.suppress(OSError):
                text += (folder / name).read_bytes()
        yield int(folder.name), text
