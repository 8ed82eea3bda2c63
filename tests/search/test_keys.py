"""What a name is found by: readings, initials, wubi, parts."""

from __future__ import annotations

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from his_server.search import KEY_LENGTH, classify, normalise, search_keys
from his_server.search.wubi import first_letters, phrase_code, table


def keys(name: str, kind: str, *, person: bool = True) -> list[str]:
    return [k.key for k in search_keys(name, person=person) if k.kind == kind]


@pytest.mark.requirement("M7.4")
@pytest.mark.parametrize(("name", "pinyin", "others"), [
    ("单雄信", "shanxiongxin", {"dxx"}),
    ("曾国藩", "zengguofan", {"cgf"}),
    ("仇英", "qiuying", {"cy"}),
    ("解缙", "xiejin", {"jj"}),
    ("查良镛", "zhaliangyong", {"cly"}),
    ("盖叫天", "gejiaotian", set()),
    ("区适子", "oushizi", {"qsz"}),
    ("尉迟恭", "yuchigong", {"wcg"}),
    ("万俟卨", "moqixie", {"wqx"}),
    ("任重", "renzhong", {"rc"}),
    ("朴树", "piaoshu", set()),
    ("乐嘉", "yuejia", {"lj"}),
    ("欧阳修", "ouyangxiu", set()),
])
def test_surname_reading_comes_first_and_every_reading_is_found(name: str, pinyin: str, others: set[str]) -> None:
    assert keys(name, "pinyin")[0] == pinyin
    initials = keys(name, "initials")
    assert len(initials) == len(set(initials))
    assert others <= set(initials)


def test_a_compound_surname_alone_is_a_surname_and_a_given_name() -> None:
    assert keys("万俟", "initials")[0] == "wq"
    assert "mq" in keys("万俟", "initials")


def test_things_are_read_by_their_words() -> None:
    assert keys("单硝酸异山梨酯片", "pinyin", person=False)[0] == "danxiaosuanyishanlizhipian"
    assert keys("重组人干扰素", "initials", person=False)[0] == "czrgrs"


@pytest.mark.requirement("M7.4", "XC-10")
@pytest.mark.parametrize(("name", "initials"), [
    ("王䶮", "wy"), ("李𠮷", "lj"), ("赵𬭎", "zh"), ("钱㛃", "qj"), ("孙𫖯", "sf"), ("周𰻝", "zb")])
def test_rare_characters_have_readings_and_are_found_themselves(name: str, initials: str) -> None:
    assert initials in keys(name, "initials")
    assert name[1] in keys(name, "part")


def test_a_character_without_known_reading_leaves_the_others_findable() -> None:
    assert keys("王\U0002ebf0明", "initials")[0] == "wm"
    assert "\U0002ebf0明" in keys("王\U0002ebf0明", "part")


def test_lv_is_found_as_typed_as_in_passports_and_as_lu() -> None:
    assert {"lvbu", "lyubu", "lubu"} <= set(keys("吕布", "pinyin"))
    assert normalise("Lü Bù"[:2]) == "lv"


def test_things_are_found_by_initials_from_their_middle_people_are_not() -> None:
    assert "mxljn" in keys("阿莫西林胶囊", "part", person=False)
    assert not any(k.isascii() for k in keys("王小明", "part"))


def test_mixed_names_keep_their_letters_and_digits() -> None:
    assert keys("维生素B12片", "initials", person=False)[0] == "wssb12p"
    assert keys("CT", "name", person=False) == ["ct"]
    assert keys("CT", "initials", person=False) == []


@pytest.mark.requirement("M7.4")
def test_wubi_has_first_letters_and_the_word_code() -> None:
    assert first_letters("王小明") == "gij"
    assert keys("王小明", "wubi") == ["gij", "gije"]
    assert phrase_code("阿莫西林") == "bass"
    assert phrase_code("国") == "lgyi"
    assert phrase_code("王\U00020bb7") == ""
    assert len(table()) > 20900 and all(1 <= len(c) <= 4 and c.isalpha() for c in table().values())


def test_code_and_aliases() -> None:
    found = search_keys("对乙酰氨基酚片", person=False, code="Ｙ００１", aliases=["扑热息痛", "对乙酰氨基酚片"])
    assert found[0] == ("code", "y001")
    assert ("alias", "扑热息痛") in found and ("part", "热息痛") in found and ("initials", "prxt") in found
    assert sum(k.kind == "alias" for k in found) == 1


@pytest.mark.parametrize("name", ["", "  ", "\u200b\u202e", "·"])
def test_a_name_of_nothing_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="visible"):
        search_keys(name, person=True)


@pytest.mark.parametrize(("typed", "stored"), [
    ("ＡＢＣ１２３", "abc123"), (" 张 三 ", "张三"), ("阿依古丽·买买提", "阿依古丽买买提"),
    ("阿依古丽・买买提", "阿依古丽买买提"), ("\u2f00\uf9b5", "一例"), ("0.25㎎", "0.25mg"), ("a\u202eb\u200b", "ab"),
    ("葛\U000e0100", "葛"), ("𠮷", "𠮷")])
def test_normalise(typed: str, stored: str) -> None:
    assert normalise(typed) == stored


@given(st.text(max_size=80))
def test_normalise_is_stable_and_every_stored_key_is_normal(text: str) -> None:
    once = normalise(text)
    assert normalise(once) == once
    assert len(once) <= KEY_LENGTH
    if once:
        for person in (True, False):
            found = search_keys(text, person=person)
            assert len(found) == len(set(found))
            assert all(k.key and len(k.key) <= KEY_LENGTH for k in found)


@pytest.mark.parametrize(("query", "has", "lacks"), [
    ("wxm", {"pinyin", "initials", "wubi", "code", "name"}, {"phone"}),
    ("13800138000", {"phone", "number", "code"}, {"pinyin", "id_number"}),
    ("0513", {"number", "code"}, {"phone"}),
    ("32060119900307123X", {"id_number", "code"}, {"phone", "wubi"}),
    ("张三", {"name", "alias"}, {"pinyin", "code"}),
    ("b12", {"initials", "code", "name"}, {"wubi"}),
])
def test_classify(query: str, has: set[str], lacks: set[str]) -> None:
    assert has <= classify(query)
    assert not lacks & classify(query)
    assert classify("  ") == set()


@pytest.mark.long
def test_the_dictionaries_are_loaded_when_the_first_name_is_read() -> None:
    """They take 56 MB, which a worker that reads no name doesn't hold."""
    program = ("import sys; from his_server.registry import load; load(); import his_server.messaging.worker;"
               "print('pypinyin' in sys.modules); from his_server.search.readings import readings; print(readings('张'));"
               "print('pypinyin' in sys.modules)")
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert said.stdout.splitlines() == ["False", "('zhang',)", "True"]
