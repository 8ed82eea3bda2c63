"""Questions to a DM8 that nobody could ask before: what ``his-server dameng check`` puts to it (XC-06, XC-07)."""

from dialects.dameng.check.asking import FAILED, NOT_ASKED, PASSED, Answer, Place, Question, as_dict, put
from dialects.dameng.check.choices import CHOICES
from dialects.dameng.check.reading import READING
from dialects.dameng.check.writing import WRITING

QUESTIONS: tuple[Question, ...] = (*CHOICES, *WRITING, *READING)

__all__ = ["FAILED", "NOT_ASKED", "PASSED", "QUESTIONS", "Answer", "Place", "Question", "as_dict", "put"]
