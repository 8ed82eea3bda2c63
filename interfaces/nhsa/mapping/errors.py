"""What an insurer's error text means, in our words, and what to do: cause codes that reports group by (M5.3)."""

from __future__ import annotations

import re

CAUSES: tuple[tuple[str, str, str], ...] = (
    ("nhsa.sign_in", r"签到|未登录|sign_?no", "操作员未签到或签到已失效，系统会自动重新签到，请重试"),
    ("nhsa.gateway", r"access.?key|signature|签名|timestamp|时间戳|_api_",
     "医保网关验签未通过，请信息科核对密钥和服务器时间"),
    ("nhsa.suspended", r"暂停|终止参保|未参保|不享受|待遇(封锁|等待)", "参保状态不能享受待遇，请按自费收取或请病人咨询参保地"),
    ("nhsa.unmapped", r"未对照|目录(不存在|匹配|编码)|无效目录", "项目没有对照医保目录或目录已失效，请医保办完成对照"),
    ("nhsa.quantity", r"数量不能超过|超过原始上传数量", "退费数量超过已上传数量，请核对后重传"),
    ("nhsa.same_message", r"报文.{0,12}重复|重复.{0,6}报文", "这个报文医保中心收到过，请查询结果"),
    ("nhsa.duplicate", r"重复", "医保中心已有这笔业务，请先查询结果，不要重复提交"),
    ("nhsa.amount", r"金额|总额|合计", "金额与医保中心不一致，请重新预结算；仍不一致请联系医保办"),
    ("nhsa.credential", r"凭证|令牌|二维码|ecToken|卡", "医保凭证无效或已过期，请病人重新出示"),
    ("nhsa.person", r"姓名|人员|身份|证件", "人员信息与参保信息不符，请核对姓名和证件"),
    ("nhsa.diagnosis", r"诊断|病种", "诊断信息不符合医保要求，请医师核对诊断"),
    ("nhsa.staff", r"医师|医生|药师|科室|护士", "医师或科室未在医保备案，请医保办核对"),
    ("nhsa.order", r"已结算|未结算|不存在|已撤销|状态", "业务状态与医保中心不一致，请查询结果后再办"),
    ("nhsa.contract", r"不能为空|格式|长度|字符|缺少", "上传内容不符合接口规范，请信息科查看接口日志"),
    ("nhsa.busy", r"繁忙|处理中|稍后|超时", "医保中心正忙，请稍后重试"),
)
OTHER = ("nhsa.other", "医保中心拒绝，请按提示处理；不明原因请联系医保办")
_NOISE = re.compile(r"\s+|FSI-|\[[0-9a-zA-Z._-]{6,}\]|Exception:?|com\.[\w.]+")


def understood(text: str) -> tuple[str, str]:
    """Cause code and Chinese message of an error text: what the insurer said, cleaned, and what to do."""
    said = _NOISE.sub(" ", text).strip(" ：:，。") or "医保中心拒绝，没有说明原因"
    for cause, pattern, advice in CAUSES:
        if re.search(pattern, said, re.IGNORECASE):
            return cause, f"{said[:110]}（{advice}）"
    return OTHER[0], f"{said[:110]}（{OTHER[1]}）"
