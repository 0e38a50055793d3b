"""The judged questions."""

from __future__ import annotations

from lsr.demo.questions import load_questions
from lsr.demo.stdlib import StandardLibrary


def test_there_are_enough_and_no_two_are_the_same() -> None:
    texts = [question.text.casefold().strip() for question in load_questions()]
    assert len(texts) >= 60
    assert len(set(texts)) == len(texts)
    assert all(len(text.split()) >= 2 for text in texts)


def test_every_answer_is_a_document_and_given_once() -> None:
    ids = {document.doc_id for document in StandardLibrary().documents()}
    for question in load_questions():
        assert question.answers
        assert len(set(question.answers)) == len(question.answers), question
        assert [answer for answer in question.answers if answer not in ids] == [], question


def test_the_answers_are_spread_over_the_library() -> None:
    modules = {answer.split(".")[0] for question in load_questions() for answer in question.answers}
    assert len(modules) >= 40


def test_no_question_names_its_answer() -> None:
    for question in load_questions():
        assert not [answer for answer in question.answers if "." in answer and answer in question.text], question
