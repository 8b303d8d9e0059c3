"""Topic rules of the database against a matcher written apart from it, straight from MQTT 5 sections 1.5.4, 4.7 and 4.8."""

from collections.abc import Callable, Iterator
from itertools import product
from typing import Any

import hypothesis.strategies as st
import psycopg
import pytest
from hypothesis import HealthCheck, example, given, settings

from tests.api.support import Queue
from tests.support.api import Api, Device
from tests.support.stack import Stack
from tests.support.tenant import make_tenant

MOST_BYTES = 65_535
MOST_LEVELS = 200


def is_text_of_mqtt(text: str) -> bool:
    """MQTT 5 section 1.5.4, with the characters that it lets a receiver refuse."""
    for character in text:
        number = ord(character)
        if number < 0x20 or 0x7F <= number <= 0x9F or 0xFDD0 <= number <= 0xFDEF or number & 0xFFFE == 0xFFFE:
            return False
    return 1 <= len(text.encode()) <= MOST_BYTES


def is_name(topic: str) -> bool:
    return is_text_of_mqtt(topic) and not set("+#") & set(topic) and topic[0] != "$"


def is_filter(text: str) -> bool:
    if not is_text_of_mqtt(text):
        return False
    levels = text.split("/")
    if (
        len(levels) > MOST_LEVELS
        or any("+" in level and level != "+" for level in levels)
        or any("#" in level and level != "#" for level in levels)
        or "#" in levels[:-1]
    ):
        return False
    if levels[0] == "$share" and len(levels) > 1:
        group, _, rest = text.removeprefix("$share/").partition("/")
        return group not in {"", "+", "#"} and rest != ""
    return True


def matches(text: str, topic: str) -> bool:
    if text.startswith("$share/"):
        text = text.split("/", 2)[2]
    wanted, levels = text.split("/"), topic.split("/")
    if topic.startswith("$") and wanted[0] in {"+", "#"}:
        return False
    for position, level in enumerate(wanted):
        if level == "#":
            return True
        if position == len(levels) or level not in {"+", levels[position]}:
            return False
    return len(wanted) == len(levels)


# Levels that look alike, and characters that mean something in LIKE, in regular expressions, or in a format string.
LEVELS = [
    "",
    "a",
    "b",
    "A",
    "ab",
    "a_",
    "a%",
    "a.b",
    "axb",
    ".",
    "*",
    "a*",
    "(a)",
    "[a]",
    "{1}",
    "a|b",
    "\\",
    "^a",
    "a$",
    "$SYS",
    "$",
    "é",
    "e\u0301",
    " ",
    "%s",
]
WILD = ["+", "#", "+a", "a+", "#a", "a#", "++", "##", "$share", "$share/g", "$shared"]
names = st.lists(st.sampled_from(LEVELS), min_size=1, max_size=5).map("/".join)
filters = st.lists(st.sampled_from(LEVELS + WILD), min_size=1, max_size=5).map("/".join)
# As filters that name each other's topics rarely come about by chance: a topic with some levels turned into wildcards.
related = names.flatmap(
    lambda topic: st.tuples(
        st.lists(st.sampled_from(["same", "same", "+", "#", "cut"]), min_size=5, max_size=5).map(lambda marks: blurred(topic, marks)),
        st.just(topic),
    )
)
characters = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12)
odd = st.text(
    st.sampled_from("a/+#$ \t\n\x1f\x7f\x80\x9f\xa0\ufdcf\ufdd0\ufdef\ufdf0\ufffd\ufffe\uffff\U0001fffd\U0001fffe\U0010ffff"), max_size=6
)


def blurred(topic: str, marks: list[str]) -> str:
    levels = []
    for level, mark in zip(topic.split("/"), marks, strict=False):
        if mark == "cut":
            break
        levels.append(level if mark == "same" else mark)
        if mark == "#":
            break
    return "/".join(levels)


@pytest.fixture(scope="module")
def rules(stack: Stack) -> Iterator[Callable[..., Any]]:
    with stack.connect() as connection:

        def ask(expression: str, *arguments: Any) -> Any:
            row = connection.execute(f"SELECT {expression}", arguments).fetchone()
            assert row is not None
            return row[0]

        yield ask


def test_the_reference_knows_the_examples_of_the_specification() -> None:
    """Section 4.7.1, non-normative comments, and what follows from 4.7.2."""
    for text, topic, answer in [
        ("sport/tennis/player1/#", "sport/tennis/player1", True),
        ("sport/tennis/player1/#", "sport/tennis/player1/ranking", True),
        ("sport/tennis/player1/#", "sport/tennis/player1/score/wimbledon", True),
        ("sport/#", "sport", True),
        ("#", "a/b", True),
        ("sport/tennis/+", "sport/tennis/player1", True),
        ("sport/tennis/+", "sport/tennis/player1/ranking", False),
        ("sport/+", "sport", False),
        ("sport/+", "sport/", True),
        ("+/+", "/finance", True),
        ("/+", "/finance", True),
        ("+", "/finance", False),
        ("#", "$SYS/x", False),
        ("+/monitor/Clients", "$SYS/monitor/Clients", False),
        ("$SYS/#", "$SYS/x", True),
        ("$SYS/monitor/+", "$SYS/monitor/Clients", True),
        ("$share/group/sport/+", "sport/x", True),
    ]:
        assert is_filter(text)
        assert matches(text, topic) is answer, (text, topic)
    assert not any(
        is_filter(text) for text in ["sport/tennis#", "sport/tennis/#/ranking", "sport+", "$share/", "$share/+/a", "$share/g", "$share/g/"]
    )


def combinations(levels: list[str], most: int) -> list[str]:
    return ["/".join(chosen) for count in range(1, most + 1) for chosen in product(levels, repeat=count)]


def test_every_short_filter_is_valid_or_not_as_specified(rules: Callable[..., Any]) -> None:
    texts = combinations(["", "a", "+", "#", "a+", "#a", "$share", "$a"], 4)
    answers = rules("array_agg(mqtt.topic_filter_reason(t) IS NULL ORDER BY o) FROM unnest(%s::text[]) WITH ORDINALITY AS x (t, o)", texts)
    assert [text for text, answer in zip(texts, answers, strict=True) if answer is not is_filter(text)] == []


def test_every_short_filter_matches_every_short_name_as_specified(rules: Callable[..., Any]) -> None:
    texts = [text for text in combinations(["", "a", "b.", "+", "#", "$a"], 3) if is_filter(text)] + [
        "$share/g/a/+",
        "$share/g/#",
        "$share/g//",
    ]
    topics = [topic for topic in combinations(["", "a", "b.", "bx", "$a"], 3) if topic]  # an empty one is none
    pairs = rules(
        "array_agg(ARRAY[f, t]) FROM unnest(%s::text[]) AS f (f) CROSS JOIN unnest(%s::text[]) AS t (t) WHERE mqtt.topic_matches(f, t)",
        texts,
        topics,
    )
    assert {tuple(pair) for pair in pairs} == {(text, topic) for text in texts for topic in topics if matches(text, topic)}


@given(st.one_of(names, filters, characters, odd))
@example("x" * MOST_BYTES)
@example("x" * (MOST_BYTES + 1))
@example("é" * 32_768)
def test_names_and_filters_are_those_of_the_specification(rules: Callable[..., Any], text: str) -> None:
    assert (rules("mqtt.topic_name_reason(%s)", text) is None) is is_name(text)
    assert (rules("mqtt.topic_filter_reason(%s)", text) is None) is is_filter(text)


@given(st.one_of(related, st.tuples(filters, names)))
def test_filters_match_what_the_specification_says(rules: Callable[..., Any], pair: tuple[str, str]) -> None:
    text, topic = pair
    if is_filter(text) and topic:
        assert rules("mqtt.topic_matches(%s, %s)", text, topic) is matches(text, topic)
        assert rules("mqtt.topic_matches_any(ARRAY['no/such', %s], %s)", text, topic) is matches(text, topic)


@given(names, names)
def test_a_prefix_is_whole_levels(rules: Callable[..., Any], prefix: str, topic: str) -> None:
    """LIKE characters, case, composed and decomposed letters, empty levels."""
    for candidate in (topic, f"{prefix}/{topic}", f"{prefix}{topic}", prefix, f"{prefix}/"):
        levels, own = candidate.split("/"), prefix.split("/")
        under = len(levels) > len(own) and levels[: len(own)] == own
        assert rules("mqtt.topic_is_under(%s, %s)", candidate, prefix) is under


@pytest.fixture(scope="module")
def device(stack: Stack, api: Api) -> Device:
    tenant = make_tenant(stack, api)
    return tenant.device(topic_prefix=f"{tenant.device().topic_prefix}/a_b%")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.one_of(names, filters, characters, odd), min_size=1, max_size=30))
def test_the_door_lets_in_just_what_the_rules_allow(device: Device, tails: list[str]) -> None:
    prefix = device.topic_prefix
    near = [prefix, prefix.replace("_", "x"), prefix.replace("%", "xyz"), prefix.upper(), prefix[:-1], f"/{prefix}", f"{prefix}/"]
    topics = [topic for tail in tails for topic in (tail, f"{prefix}/{tail}", f"{prefix}{tail}")] + [f"{n}/x" for n in near] + near
    answer = device.send_batch([{"topic": topic, "payload": 1} for topic in topics]).json()
    expected = {}
    for index, topic in enumerate(topics):
        if not is_name(topic):
            expected[index] = "topic_invalid"
        elif not topic.startswith(f"{prefix}/"):
            expected[index] = "topic_not_allowed"
    assert {r["index"]: r["code"] for r in answer["rejected"]} == expected
    assert answer["accepted"] == len(topics) - len(expected)


def test_all_that_was_let_in_can_be_stored(queue: Queue, db: psycopg.Connection[tuple[Any, ...]]) -> None:
    """What the test before this one left is in the queue, except what the fixture has worked off already."""
    assert queue.drained["failed"] == queue.drained["dead"] == 0
    assert db.execute("SELECT count(*) FROM pgmq.q_mqtt_messages").fetchone() == (0,)
