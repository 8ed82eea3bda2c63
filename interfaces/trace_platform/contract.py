"""What the platform documents of 单码关联关系查询, and how TOP 2.0 wants a call signed. Source: TOP's public documents.

``code_pack_level`` 1 is the smallest pack (小码); ``code_level`` counts the other way round and is not read. ``status``: A
activated, I taken in, O taken out; those of :data:`GONE` stand for no pack any more.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping

METHOD = "alibaba.alihealth.drugtrace.top.yljg.query.relation"
ANSWER = "alibaba_alihealth_drugtrace_top_yljg_query_relation_response"
SMALLEST = "1"
GONE = {"B": "申请未激活", "C": "已注销", "E": "码不存在", "N": "已停用", "X": "已销毁"}
SIGNS = ("hmac-sha256", "hmac", "md5")


def sign(parameters: Mapping[str, str], secret: str, method: str) -> str:
    """TOP's signature over all parameters but ``sign``: sorted by name, name and value joined, upper-case hexadecimal."""
    text = "".join(f"{name}{value}" for name, value in sorted(parameters.items()) if name != "sign" and value)
    if method == "md5":
        return hashlib.new("md5", f"{secret}{text}{secret}".encode(), usedforsecurity=False).hexdigest().upper()
    return hmac.new(secret.encode(), text.encode(), "md5" if method == "hmac" else "sha256").hexdigest().upper()
