"""The report: JSON (signed), HTML and PDF. Never a secret, never a whole number of a person."""

from __future__ import annotations

import html
import json
import re
from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from crypto import CryptoError, KeyLike, Provider, pem
from his_server import __version__
from his_server.compliance.frame import BAD, GOOD, NOT_APPLICABLE, NOT_RUN, PARTLY, VERDICTS, Result
from his_server.compliance.run import count
from his_server.reporting import Column, Document

FORMAT = "his-compliance-1"
NUMBER = re.compile(r"(?<![\dA-Za-z])(\d{3})\d{11,13}([\dXx]{2})(?![\dA-Za-z])")
MOBILE = re.compile(r"(?<!\d)(1[3-9]\d)\d{4}(\d{4})(?!\d)")
HEX = re.compile(r"\b([0-9a-f]{8})[0-9a-f]{24,}\b", re.I)
FILES = ("report.html", "report.pdf")
MODES = "方式：A 由机器执行；S 机器取证，另须人员或持证设备；D 文档审查。"
COLOURS = {GOOD: "good", PARTLY: "partly", BAD: "bad", NOT_APPLICABLE: "none", NOT_RUN: "none"}
LEGEND = (
    "“未执行”不算通过：列出原因，由测评人员补做或在具备条件的环境重做。“部分符合”是主要要求已满足、"
    "有次要不足或有一部分没有执行，逐项写明。"
)


def clean(text: str, secrets: Sequence[str]) -> str:
    """Evidence as it may stand in a report."""
    for secret in secrets:
        if len(secret) >= 6:
            text = text.replace(secret, "（略）")
    return HEX.sub(r"\1…", MOBILE.sub(r"\1****\2", NUMBER.sub(r"\1***\2", text)))


def document(
    results: Sequence[Result],
    *,
    profile: str,
    stack: dict[str, str],
    began: datetime,
    ended: datetime,
    secrets: Sequence[str],
    mark: str,
) -> dict[str, Any]:
    """The report's content, everything in it cleaned."""

    def safe(text: str) -> str:
        return clean(text, secrets)

    return {
        "format": FORMAT,
        "product": "his-server",
        "version": __version__,
        "profile": profile,
        "mark": mark,
        "began": began.isoformat(timespec="seconds"),
        "ended": ended.isoformat(timespec="seconds"),
        "stack": {name: safe(value) for name, value in stack.items()},
        "counts": count(results).of,
        "results": [
            {
                "id": one.entry.id,
                "mode": one.entry.mode,
                "profile": one.entry.profile,
                "clause": one.entry.clause,
                "title": one.entry.title,
                "verdict": one.verdict,
                "reason": safe(one.reason),
                "seconds": round(one.seconds, 2),
                "evidence": [{"ok": seen.ok, "asked": safe(seen.asked), "saw": safe(seen.saw)} for seen in one.evidence.seen],
            }
            for one in results
        ],
    }


def write(folder: Path, content: dict[str, Any], provider: Provider, private: KeyLike) -> Path:
    """Write report.html, report.pdf and, signed over their digests and its own text, report.json; returns the last."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "report.html").write_text(page(content), "utf-8")
    pdf(content, folder / "report.pdf")
    content = {**content, "files": {name: provider.sm3((folder / name).read_bytes()).hex() for name in FILES}}
    public = provider.sm2_public(private)
    signature = {
        "algorithm": "SM2 with SM3",
        "public_key": pem.public_to_pem(public),
        "value": provider.sm2_sign(private, signed_text(content)).hex(),
    }
    target = folder / "report.json"
    target.write_text(json.dumps({**content, "signature": signature}, ensure_ascii=False, indent=1), "utf-8")
    return target


def signed_text(content: dict[str, Any]) -> bytes:
    """The bytes that are signed: canonical JSON without the signature."""
    bare = {name: value for name, value in content.items() if name != "signature"}
    return json.dumps(bare, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()


def verify(path: Path, provider: Provider, public: bytes | None = None) -> tuple[list[str], bytes | None]:
    """Judge a report offline: what is wrong with it (nothing: it holds), and the key that signed it.

    ``public``: the key that must have signed. The HTML and PDF beside it are compared with their digests.
    """
    try:
        content = json.loads(path.read_text("utf-8"))
        signature = content["signature"]
        signer = pem.public_from_pem(signature["public_key"])
        value, files = bytes.fromhex(signature["value"]), dict(content["files"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError, CryptoError):
        return ["不是完整的合规报告文件"], None
    wrong = []
    if content.get("format") != FORMAT:
        wrong.append("报告格式版本不认识")
    if public is not None and signer != public:
        wrong.append("签名者不是指定的公钥")
    if not provider.sm2_verify(signer, signed_text(content), value):
        wrong.append("签名不符：报告内容被改动")
    for name in FILES:
        beside = path.with_name(name)
        if beside.exists() and provider.sm3(beside.read_bytes()).hex() != files.get(name):
            wrong.append(f"{name} 与签名时不同")
    return wrong, signer


def page(content: dict[str, Any]) -> str:
    """The HTML report: one file, no script, nothing from outside."""
    e = html.escape
    rows = []
    for one in content["results"]:
        evidence = "".join(
            f'<li class="{"bad" if seen["ok"] is False else "note"}">{"✗ " if seen["ok"] is False else ""}{e(seen["asked"])}'
            f"{'：' + e(seen['saw']) if seen['saw'] else ''}</li>"
            for seen in one["evidence"]
        )
        detail = f"<details><summary>证据 {len(one['evidence'])} 条</summary><ol>{evidence}</ol></details>" if evidence else ""
        rows.append(
            f"<tr><td>{e(one['id'])}</td><td>{e(one['clause'])}</td><td>{e(one['title'])}</td><td>{e(one['mode'])}</td>"
            f'<td class="{COLOURS[one["verdict"]]}">{e(one["verdict"])}</td><td>{e(one["reason"])}{detail}</td></tr>'
        )
    facts = "".join(f"<dt>{e(name)}</dt><dd>{e(value)}</dd>" for name, value in _facts(content))
    counts = "".join(
        f'<li class="{COLOURS[verdict]}">{e(verdict)} {number}</li>' for verdict, number in content["counts"].items()
    )
    heads = "".join(f"<th>{e(verdict)}</th>" for verdict in VERDICTS)
    sums = "".join(
        f"<tr><td>{e(name)}</td>{''.join(f'<td>{number}</td>' for number in numbers)}</tr>" for name, numbers in _sums(content)
    )
    return f"""<!DOCTYPE html><html lang="zh-CN"><head><meta charset="utf-8"><title>合规检查报告</title><style>
body{{font:14px/1.6 sans-serif;margin:2em auto;max-width:1200px;color:#222}}h1{{font-size:22px}}
dl{{display:grid;grid-template-columns:12em 1fr;margin:1em 0}}dd{{margin:0}}
ul.counts{{list-style:none;display:flex;gap:1.5em;padding:0;font-size:17px}}
table{{border-collapse:collapse;width:100%}}th,td{{border:1px solid #ccc;padding:4px 8px;vertical-align:top;text-align:left}}
th{{background:#f3f5f7;position:sticky;top:0}}.good{{color:#136c2e}}.partly{{color:#8a5a00}}.bad{{color:#b3261e;font-weight:bold}}
.none{{color:#666}}
th,td:nth-child(1),td:nth-child(5){{white-space:nowrap}}table.sums{{width:auto;margin:1em 0}}
ol{{margin:.3em 0;padding-left:1.6em}}</style></head><body>
<h1>{e(_title(content))}</h1><dl>{facts}</dl>
<ul class="counts">{counts}</ul>
<table class="sums"><thead><tr><th>类别</th>{heads}</tr></thead><tbody>{sums}</tbody></table>
<p>{e(LEGEND)}{e(MODES)}</p>
<table><thead><tr><th>编号</th><th>依据</th><th>检查项</th><th>方式</th><th>判定</th><th>说明与证据</th></tr></thead>
<tbody>{"".join(rows)}</tbody></table></body></html>
"""


def _title(content: dict[str, Any]) -> str:
    return f"合规检查报告（{'全部类别' if content['profile'] == 'all' else content['profile']}）"


def _sums(content: dict[str, Any]) -> list[tuple[str, list[int]]]:
    """Each kind of assessment and how many of each verdict it has."""
    found = Counter((one["profile"], one["verdict"]) for one in content["results"])
    names = dict.fromkeys(one["profile"] for one in content["results"])
    return [(name, [found[name, verdict] for verdict in VERDICTS]) for name in names]


def _facts(content: dict[str, Any]) -> list[tuple[str, str]]:
    return [
        ("产品", f"{content['product']} {content['version']}"),
        ("开始", content["began"].replace("T", " ")),
        ("结束", content["ended"].replace("T", " ")),
        ("本次标记", content["mark"]),
        *content["stack"].items(),
    ]


def pdf(content: dict[str, Any], path: Path) -> None:
    """The printed report: counts, and every verdict with its reason; the evidence stands in HTML and JSON."""
    made = Document("A4", landscape=True, name="合规检查报告").title(_title(content))
    made.pairs(_facts(content)).gap(1)
    made.pairs([(verdict, str(number)) for verdict, number in content["counts"].items()], columns=5)
    for name, numbers in _sums(content):
        made.line(f"{name}：" + "，".join(f"{verdict} {number}" for verdict, number in zip(VERDICTS, numbers, strict=True)))
    made.line(LEGEND).line(MODES).gap(1)
    columns = [
        Column("id", "编号"),
        Column("clause", "依据"),
        Column("title", "检查项"),
        Column("mode", "方式", width=4),
        Column("verdict", "判定", width=9),
        Column("reason", "说明"),
    ]
    made.table(columns, [{**one, "reason": one["reason"][:300]} for one in content["results"]])
    made.save(str(path))
