"""Pools that invented Chinese names are drawn from.

Shares follow the published frequency of surnames (the first twenty cover about half of the people); the
given names are ordinary ones of several generations. No list of real persons was used.
"""
from __future__ import annotations

import random

#: Surname and weight per thousand.
SURNAMES: tuple[tuple[str, int], ...] = (
    ("王", 72), ("李", 70), ("张", 66), ("刘", 50), ("陈", 48), ("杨", 31), ("黄", 22), ("赵", 21),
    ("吴", 20), ("周", 20), ("徐", 19), ("孙", 16), ("马", 13), ("朱", 15), ("胡", 12), ("郭", 11),
    ("何", 11), ("林", 11), ("高", 10), ("罗", 9), ("郑", 9), ("梁", 8), ("谢", 8), ("宋", 8),
    ("唐", 7), ("许", 7), ("韩", 6), ("邓", 6), ("冯", 6), ("曹", 7), ("彭", 6), ("曾", 6), ("肖", 5),
    ("田", 5), ("董", 5), ("潘", 6), ("袁", 5), ("蔡", 6), ("蒋", 6), ("余", 5), ("于", 5), ("杜", 4),
    ("叶", 5), ("程", 4), ("魏", 4), ("苏", 4), ("吕", 4), ("丁", 6), ("任", 4), ("卢", 4), ("姚", 4),
    ("沈", 6), ("钟", 4), ("姜", 5), ("崔", 3), ("谭", 3), ("陆", 6), ("范", 4), ("汪", 4), ("廖", 3),
    ("石", 3), ("金", 4), ("韦", 2), ("贾", 2), ("夏", 3), ("付", 2), ("方", 3), ("邹", 3), ("熊", 2),
    ("白", 2), ("孟", 2), ("秦", 2), ("邱", 3), ("侯", 2), ("江", 3), ("尹", 2), ("薛", 3), ("闫", 1),
    ("段", 2), ("雷", 2), ("龙", 2), ("黎", 1), ("史", 2), ("陶", 2), ("贺", 1), ("毛", 2), ("郝", 1),
    ("顾", 5), ("龚", 2), ("邵", 3), ("万", 2), ("钱", 3), ("严", 3), ("戴", 3), ("莫", 1), ("孔", 1),
    ("向", 1), ("常", 1), ("施", 4), ("葛", 2), ("季", 3), ("成", 1), ("缪", 1), ("瞿", 1), ("习", 1),
    ("单", 1), ("仇", 1), ("查", 1), ("解", 1), ("华", 1), ("区", 1), ("盖", 1), ("朴", 1), ("尤", 1),
    ("倪", 2), ("章", 1), ("冒", 1), ("喻", 1), ("茅", 1), ("樊", 1), ("康", 1), ("羌", 1), ("包", 1),
    ("姬", 1), ("符", 1), ("佘", 1),
)

COMPOUND_SURNAMES: tuple[str, ...] = (
    "欧阳", "上官", "诸葛", "司马", "尉迟", "令狐", "司徒", "皇甫", "慕容", "东方", "夏侯", "端木", "万俟", "长孙",
)

#: Given-name characters that GBK cannot encode (GB 18030-2022 levels 2 and 3; COMPLIANCE section 9.5).
RARE_GIVEN: tuple[str, ...] = ("䶮", "㛃", "𠮷", "𬭎", "𫖯", "𬀩", "𬍛", "𬱖", "𬘭", "𬭚")

MALE_GIVEN: tuple[tuple[str, ...], ...] = (
    # born before 1960
    ("德明", "国华", "金生", "永福", "志坚", "长根", "文炳", "洪生", "锦华", "宝根", "汉清", "士林",
     "正国", "兆祥", "学礼", "建业", "仁贵", "寿康", "炳南", "维新", "云龙", "松林", "银生", "福泉",
     "耀祖", "克勤", "广生"),
    # 1960 to 1984
    ("建军", "卫东", "建国", "志强", "海峰", "勇", "伟", "军", "斌", "红兵", "国平", "晓东", "永刚",
     "建华", "新民", "立新", "学军", "春雷", "文革", "小明", "剑锋", "东升", "向阳", "亚平", "宏伟",
     "海涛", "振宇", "忠", "磊", "健"),
    # 1985 to 2004
    ("鹏", "超", "浩", "杰", "涛", "俊杰", "志鹏", "文博", "宇航", "晨", "鑫", "凯", "旭东", "嘉伟",
     "天宇", "明轩", "子健", "一鸣", "佳豪", "思远", "海洋", "帅", "泽宇", "睿", "翔", "家骏", "成龙",
     "晓峰", "启航", "润泽"),
    # 2005 and later
    ("子轩", "浩然", "宇轩", "梓豪", "沐阳", "奕辰", "俊熙", "亦凡", "皓轩", "铭泽", "宇泽", "煜城",
     "景行", "言蹊", "承泽", "书恒", "星野", "知远", "屹川", "若谷", "昱霖", "嘉树", "云帆", "牧之",
     "乐天"),
)

FEMALE_GIVEN: tuple[tuple[str, ...], ...] = (
    ("秀英", "桂兰", "玉珍", "凤英", "兰芳", "素贞", "月娥", "翠英", "美华", "惠珍", "菊芳", "金凤",
     "巧云", "佩芬", "秀兰", "淑贞", "玉兰", "锦芳", "杏英", "彩云", "银娣", "招娣", "洪英", "雪珍",
     "桂英"),
    ("丽", "敏", "静", "红梅", "燕", "霞", "建芳", "海燕", "小红", "春燕", "亚萍", "玲", "丽娟", "晓燕",
     "云", "萍", "爱华", "雪梅", "慧", "艳", "秋月", "志红", "卫红", "琴", "美兰", "蓉", "芳", "新华",
     "洁", "莉"),
    ("婷", "雪", "倩", "颖", "佳", "梦婷", "雨晴", "思雨", "晓雯", "璐", "嘉怡", "诗琪", "丹", "欣怡",
     "莹", "梦琪", "文静", "慧敏", "雅婷", "晨曦", "瑶", "菲", "晶晶", "佳慧", "悦", "雯", "舒婷",
     "安琪", "子涵", "琳"),
    ("梓涵", "诗涵", "雨桐", "欣妍", "可馨", "一诺", "语桐", "若溪", "沐瑶", "思彤", "芷晴", "念安",
     "清欢", "以沫", "书瑶", "星语", "知夏", "佳宁", "舒窈", "忆南", "安然", "苡宁", "瑾萱", "初晴",
     "乐瑶"),
)

#: Two of these make a given name that is in no list: big hospitals shouldn't be full of namesakes.
MALE_CHARACTERS = "志国文明建永海林峰强军平东华德成光天宇俊杰浩博伟立春庆祥荣昌家正学振宏瑞泽嘉子晓"
FEMALE_CHARACTERS = "秀丽玉美淑兰英芳梅红雪晓文静雅慧佳婷怡思欣梦诗雨琳瑶洁莹春秋月云彩凤珍琴娟萍燕"

#: (ethnic code of GB/T 3304, given names of men, of women, names of fathers): written given·father's.
DOTTED_NAMES: tuple[tuple[str, tuple[str, ...], tuple[str, ...], tuple[str, ...]], ...] = (
    ("05", ("阿卜杜拉", "艾力", "买买提江", "吐尔逊", "库尔班", "艾克拜尔", "迪力夏提", "伊力亚斯"),
     ("阿依古丽", "古丽娜尔", "热依汗", "帕提古丽", "迪丽努尔", "米日古丽", "祖丽胡玛尔"),
     ("买买提", "吾守尔", "阿不都热合曼", "司马义", "卡德尔", "依明", "托合提", "玉素甫")),
    ("17", ("叶尔江", "努尔兰", "哈那提", "巴合提别克"), ("阿依登", "古丽扎", "加娜尔", "阿依努尔"),
     ("别克", "胡马尔", "木拉提", "哈孜", "沙比提")),
    ("07", ("阿木", "吉克", "木呷", "拉铁"), ("阿依", "尔扎", "莫色", "伍果"),
     ("尔古", "曲比", "阿苏", "吉木", "沙马")),
    ("43", ("鲁斯塔木", "伊尔凡"), ("迪娜拉", "古丽巴哈尔"), ("塔依尔", "阿扎提")),
)


def generation(birth_year: int) -> int:
    """Which of the four given-name pools fits a year of birth (0 oldest … 3 youngest)."""
    return sum(birth_year >= year for year in (1960, 1985, 2005))


def plain_name(rng: random.Random, sex: str, birth_year: int) -> str:
    """A name of the Han form: surname (one in 140 of two characters), then one or two characters.

    `sex` is a GB/T 2261.1 code, "1" or "2".
    """
    if rng.random() < 0.007:
        surname = rng.choice(COMPOUND_SURNAMES)
    else:
        surname = rng.choices(_SURNAME_LIST, cum_weights=_SURNAME_CUMULATIVE)[0]
    if rng.random() < 0.5:
        characters = MALE_CHARACTERS if sex == "1" else FEMALE_CHARACTERS
        return surname + "".join(rng.sample(characters, 2))
    pools = MALE_GIVEN if sex == "1" else FEMALE_GIVEN
    return surname + rng.choice(pools[generation(birth_year)])


def rare_name(rng: random.Random, sex: str, birth_year: int) -> str:
    """A plain name whose last character is one that GBK lacks."""
    return plain_name(rng, sex, birth_year)[:2] + rng.choice(RARE_GIVEN)


def dotted_name(rng: random.Random, sex: str) -> tuple[str, str]:
    """A minority name written with U+00B7: (name, ethnic code)."""
    ethnic, men, women, fathers = rng.choices(DOTTED_NAMES, weights=(70, 15, 10, 5))[0]
    given = rng.choice(men if sex == "1" else women)
    return f"{given}·{rng.choice(fathers)}", ethnic


def _cumulate(pairs: tuple[tuple[str, int], ...]) -> tuple[list[str], list[int]]:
    names: list[str] = []
    sums: list[int] = []
    total = 0
    for name, weight in pairs:
        total += weight
        names.append(name)
        sums.append(total)
    return names, sums


_SURNAME_LIST, _SURNAME_CUMULATIVE = _cumulate(SURNAMES)
