"""Readings of Han characters, with surnames read as surnames.

pypinyin (MIT) gives every character's readings and, through its phrase list, the one that fits a word. It
reads surnames as words (单 dan for shan), so surnames have an own table here, compiled by hand after the
surname senses of 现代汉语词典. Characters of the extension blocks that pypinyin doesn't know and that occur
in names are added in EXTRA. Its dictionaries take 56 MB: they are loaded when the first name is read, which a worker
seldom does; web processes share them (:data:`his_server.running.LAZY`).
"""

from __future__ import annotations

from functools import lru_cache

from .text import is_han

_SURNAMES = (
    "单:shan 曾:zeng 仇:qiu 解:xie 查:zha 盖:ge 区:ou 朴:piao 任:ren 华:hua 翟:zhai 缪:miao 宓:mi 乐:yue "
    "覃:qin 员:yun 冼:xian 洗:xian 召:shao 祭:zhai 折:she 黑:he 秘:bi 那:na 繁:po 种:chong 纪:ji 燕:yan "
    "晁:chao 逄:pang 卜:bu 柏:bai 贲:ben 薄:bo 车:che 盛:sheng 石:shi 葛:ge 过:guo 哈:ha 句:gou 阚:kan "
    "牟:mu 宁:ning 曲:qu 瞿:qu 撒:sa 沈:shen 舍:she 帖:tie 宿:su 隗:wei 相:xiang 应:ying 於:yu 郁:yu "
    "乜:nie 谌:chen 阿:a 幺:yao 佴:nai 妫:gui 郇:xun 呙:guo 叶:ye 尹:yin 尉:wei 万:wan 长:chang 冯:feng "
    "俞:yu 谢:xie 曹:cao 重:chong 藏:zang 臧:zang 晟:cheng 乘:sheng 都:du 朝:chao 降:jiang 行:xing "
    "洪:hong 红:hong 吕:lv 闾:lv 鲍:bao 骆:luo 卢:lu 陆:lu 屈:qu 费:fei 钻:zuan 邵:shao 邢:xing 角:jue "
    "弗:fu 伯:bo 亓:qi 会:gui 炅:gui 能:nai 眭:sui 菅:jian 爨:cuan 啜:chuai 逯:lu 庹:tuo 仉:zhang 訾:zi "
    "郗:xi 铅:qian 适:kuo 信:xin 阙:que 桑:sang 参:shen 台:tai 无:wu 殷:yin 尧:yao 禹:yu 郄:qie 殖:zhi "
    "竺:zhu 渠:qu 尔:er 干:gan"
)
_COMPOUND = (
    "尉迟:yu:chi 万俟:mo:qi 长孙:zhang:sun 单于:chan:yu 令狐:ling:hu 澹台:tan:tai 皇甫:huang:fu "
    "鲜于:xian:yu 宰父:zai:fu 亓官:qi:guan 诸葛:zhu:ge 欧阳:ou:yang 上官:shang:guan 司马:si:ma 司徒:si:tu "
    "司空:si:kong 东方:dong:fang 独孤:du:gu 南宫:nan:gong 夏侯:xia:hou 呼延:hu:yan 端木:duan:mu "
    "公孙:gong:sun 慕容:mu:rong 宇文:yu:wen 轩辕:xuan:yuan 濮阳:pu:yang 淳于:chun:yu 太史:tai:shi "
    "申屠:shen:tu 钟离:zhong:li 闻人:wen:ren 赫连:he:lian 拓跋:tuo:ba 公冶:gong:ye 宗政:zong:zheng "
    "仲孙:zhong:sun 乐正:yue:zheng 漆雕:qi:diao 公西:gong:xi 巫马:wu:ma 公良:gong:liang 段干:duan:gan "
    "百里:bai:li 东郭:dong:guo 南门:nan:men 羊舌:yang:she 微生:wei:sheng 梁丘:liang:qiu 左丘:zuo:qiu "
    "东门:dong:men 西门:xi:men 第五:di:wu 纳兰:na:lan 完颜:wan:yan 耶律:ye:lv"
)

SURNAMES: dict[str, str] = dict(pair.split(":") for pair in _SURNAMES.split())
"""Surname reading of single-character surnames whose common reading may differ. No tone; ü is v."""

COMPOUND_SURNAMES: dict[str, tuple[str, str]] = {
    name: (first, second) for name, first, second in (item.split(":") for item in _COMPOUND.split())}
"""Surnames of two characters with the reading of each."""

EXTRA: dict[str, tuple[str, ...]] = {
    "𠮷": ("ji",), "𠅤": ("ji",), "龴": ("si",), "𫖯": ("fu",), "𬭎": ("hong",), "𰻝": ("biang",), "𰻞": ("biang",),
    "〇": ("ling",), "㐂": ("xi",), "𬀩": ("wei",), "𬬻": ("lu",), "𬺈": ("yi",), "𬴂": ("gua",), "々": ()}


@lru_cache(maxsize=16384)
def readings(char: str) -> tuple[str, ...]:
    """All readings of one Han character without tones, the commonest first; empty if none is known."""
    if char in EXTRA:
        return EXTRA[char]
    from pypinyin import Style
    from pypinyin.constants import PINYIN_DICT
    from pypinyin.style import convert

    listed = PINYIN_DICT.get(ord(char))
    if not listed:
        return ()
    plain = (convert(r, Style.NORMAL, strict=False) for r in listed.split(","))
    return tuple(dict.fromkeys(p.replace("ü", "v") for p in plain if p.isascii() or "ü" in p))


def syllables(name: str, *, person: bool) -> list[tuple[str, ...]]:
    """For each character of a normalised name its readings, the one meant here first.

    Characters that are not Han stand for themselves. A Han character without a known reading gives an empty
    tuple and is left out of pinyin keys. With `person` the surname is read by the surname tables; the rest,
    and all names of things, by the phrases that pypinyin knows.
    """
    if person:
        likely = _person(name)
    else:
        likely = _phrase(name)
    result: list[tuple[str, ...]] = []
    for char, first in zip(name, likely, strict=True):
        if is_han(char):
            known = readings(char)
            result.append(tuple(dict.fromkeys((first, *known))) if first else known)
        else:
            result.append((char,))
    return result


def _person(name: str) -> list[str | None]:
    compound = COMPOUND_SURNAMES.get(name[:2]) if len(name) > 2 else None
    if compound:
        return [*compound, *_phrase(name[2:])]
    if name and name[0] in SURNAMES:
        return [SURNAMES[name[0]], *_phrase(name[1:])]
    # A surname and a given name make no word together: 任重 is not read as in 任重道远.
    return [*_phrase(name[:1]), *_phrase(name[1:])]


def _phrase(text: str) -> list[str | None]:
    """The reading of each character in the phrase, None where there is none; one entry per character."""
    from pypinyin.constants import PINYIN_DICT

    result: list[str | None] = []
    run = ""
    for char in text:
        if is_han(char) and ord(char) in PINYIN_DICT:
            run += char
            continue
        result += _read(run)
        run = ""
        result.append(None)
    return result + _read(run)


def _read(run: str) -> list[str | None]:
    if not run:
        return []
    from pypinyin import Style, lazy_pinyin

    return [s.replace("ü", "v") for s in lazy_pinyin(run, style=Style.NORMAL, v_to_u=False)]
