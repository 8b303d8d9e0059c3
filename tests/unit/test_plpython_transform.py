"""plpython/transform.py and check_transform.py: what expressions make, as the library would; attacks; any expression, any document."""

import json
import tracemalloc
from typing import Any

import jmespath
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from plpython import bounded_jmespath, check_transform, transform
from tests.support.storable import is_storable

SLUGS = ("transform_cut_off: ", "transform_failed: ")


def applied(expression: str, document: Any) -> Any:
    """What becomes of a document, or the reason."""
    (found,) = json.loads(transform.run([expression], [json.dumps(document)]))
    return found.get("made", found.get("reason"))


@pytest.mark.parametrize(
    ("expression", "document", "made"),
    [
        ("{mean: avg(v), total: sum(v), most: max(v)}", {"v": [1, 2, 6]}, {"mean": 3, "total": 9, "most": 6}),
        ("{start: t, step: s, v: indexed(v)}", {"t": 9, "s": 2, "v": [5]}, {"start": 9, "step": 2, "v": [{"index": 0, "value": 5}]}),
        ("from_items(split(@, ';')[*].split(@, '='))", "T=21.5;H=40", {"T": "21.5", "H": "40"}),
        ("sort_by(@, &t)[-1]", [{"t": 2}, {"t": 3}, {"t": 1}], {"t": 3}),
        ("[max_by(@, &t).t, min_by(@, &t).t, sort([*].t)[0]]", [{"t": 2}, {"t": 3}], [3, 2, 2]),
        ("[max_by(`[]`, &t), min(`[]`), sum(`[]`), avg(`[]`)]", 1, [None, None, 0, None]),
        ("[contains(v, `[1]`), contains('abc', 'b'), contains('abc', `1`), contains(v, `true`)]", {"v": [[1], 1]},
         [True, True, False, False]),
        ("[a == b, a != b, `1` == `true`, `1` == `1.0`, 'a' < 'b', `1` < 'b', `true` < `false`]", {"a": {"x": [1]}, "b": {"x": [1]}},
         [True, False, False, True, True, None, None]),
        ("[to_number('1e3'), to_number(' 1'), to_number('1_0'), to_number('nan'), to_number(`2`), to_number(`true`)]", 1,
         [1000, None, None, None, 2, None]),
        ("[to_string(@), to_string('x'), join('-', ['a', 'b']), reverse('ab')]", {"ä": 1}, ['{"ä":1}', "x", "a-b", "ba"]),
        ("[[@][], @[:2], @[::-1], length(@), type(@), not_null(`null`, @[0])]", [1, 2, 3], [[1, 2, 3], [1, 2], [3, 2, 1], 3, "array", 1]),
        ("merge(a, {c: `3`}) | [keys(@), values(@)]", {"a": {"b": 2}}, [["b", "c"], [2, 3]]),
        ("map(&[@, a], @)", [{"a": 1}], [[{"a": 1}, 1]]),
        ("none", {}, None),
    ],
)  # fmt: skip
def test_what_expressions_make(expression: str, document: Any, made: Any) -> None:
    assert check_transform.run(expression) is None
    assert applied(expression, document) == made


@pytest.mark.parametrize(
    ("expression", "reason"),
    [
        ("", "must not be empty"),
        ("a[", "is not JMESPath: it ends too early"),
        ("a b", "is not JMESPath at character 3: Unexpected token: b"),
        ("a = b", "is not JMESPath at character 3: Unknown token '='"),
        ("'abc", "is not JMESPath at character 1: Unclosed ' delimiter"),
        ("a.open(@)", "calls open() at character 3, and there is no such function"),
        ("[length(a, b)]", "calls length() with 2 arguments, and it takes 1"),
        ("not_null()", "calls not_null() with 0 arguments, and it takes 1 or more"),
        ("x" * 2001, "must have at most 2000 characters"),
        ("[" + "a," * 400 + "a]", "must have at most 400 parts"),
        ("a" + "|a" * 50, "must be nested at most 40 deep"),
        ("(" * 1999, "must be nested at most 40 deep"),
        ("&a", "has & elsewhere than in map(), max_by(), min_by() or sort_by()"),
        ("{f: &map(f, [@])} | map(f, [@])", "has & elsewhere than in map(), max_by(), min_by() or sort_by()"),
        ("map(not_null(&a), @)", "has & elsewhere than in map(), max_by(), min_by() or sort_by()"),
    ],
)
def test_what_may_not_be_written(expression: str, reason: str) -> None:
    assert check_transform.run(expression) == reason


def piped(step: str, times: int) -> str:
    return "|".join([step] * times)


def wide(part: str, times: int) -> str:
    return "[" + ",".join([part] * times) + "]"


NUMBERS = list(range(20_000))
LONG = ["x" * 60_000 + "a", "x" * 60_000 + "b"]
MANY_OBJECTS = [{"k": n, "s": "y" * 20} for n in range(2500)]
# Each would take hours, gigabytes, or both.
ATTACKS: dict[str, tuple[str, Any]] = {
    "a list that doubles": (piped("[@,@][]", 18), [1]),
    "lists beside each other": (wide("@", 350) + "[]", NUMBERS),
    "lists of lists": (piped(wide("@", 30) + "[]", 2), NUMBERS),
    "shared parts, written": (piped("[@,@]", 38), [1]),
    "shared members, written": (piped("{a:@,b:@}", 38), [1]),
    "shared parts as text": (piped("[@,@]", 36) + "|to_string(@)", [1]),
    "shared parts, compared": (f"{{a:{piped('[@,@]', 18)},b:{piped('[@,@]', 18)}}}|a==b", [1]),
    "shared parts, searched for": (f"{{a:{piped('[@,@]', 18)},b:{piped('[@,@]', 18)}}}|contains([a],b)", [1]),
    "a text that doubles": (piped("join('',[@,@])", 12), "x" * 100),
    "a text beside itself": (f"join('',{wide('@', 300)})", "x" * 120_000),
    "quotes of quotes": (piped("to_string([@])", 38), '\\"'),
    "long texts, sorted": (piped(wide("@", 100) + "[]", 2) + "|sort(@)", LONG),
    "long texts, sorted by": (wide("@", 100) + "[]|sort_by(@,&@)", LONG),
    "the longest of long texts": (piped(wide("@", 100) + "[]", 2) + "|max(@)", LONG),
    "sorted again and again": (piped("sort(@)|reverse(@)", 15), NUMBERS),
    "a map in a map in a map": (f"map(&map(&map(&@,{wide('@', 30)}),{wide('@', 30)}),@)", NUMBERS),
    "a filter for each": (f"map(&[?k>`0`],{wide('@', 80)})", MANY_OBJECTS),
    "searches": (wide("contains(@,'xy')", 90), "x" * 120_000),
    "a long search": ("contains(join('',[@,'y']),join('',[@,'z']))", "x" * 120_000),
    "a text in pieces": ("split(@,'x')|" + wide("@", 30) + "[]", "x" * 120_000),
    "merged with itself": (f"merge({','.join(['@'] * 380)})", {str(n): n for n in range(8000)}),
    "slices": (wide("[:]", 70), NUMBERS),
    "copied out": (wide("@", 390), "x" * 1000),
    "beyond 128 levels": ("[" * 10 + "@" + "]" * 10, json.loads("[" * 120 + "]" * 120)),
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_an_attack_is_cut_off(attack: str) -> None:
    """By steps that are charged before they are done: within what Python may hold, and no more visits than there are steps."""
    expression, document = ATTACKS[attack]
    assert check_transform.run(expression) is None
    tracemalloc.start()
    try:
        reason = applied(expression, document)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert str(reason).startswith("transform_cut_off: "), reason
    assert peak < 48 << 20
    assert applied("sum(@)", [1, 2]) == 3, "and the next one starts anew"


@pytest.mark.parametrize(
    ("expression", "document", "reason"),
    [
        ("sum(@)", "x", "sum() does not take string"),
        ("&a", 1, "what follows & is no value"),
        ("to_string([&a])", 1, "what follows & is no value"),
        ("`NaN`", 1, "NaN and infinity are no JSON numbers"),
        ("sum(@)", [1e308, 1e308], "NaN and infinity are no JSON numbers"),
        ("sum(@)", [10**308] * 9, "a number is beyond the range of a double"),
        ('`"\\u0000"`', 1, "a text holds U+0000, which jsonb cannot store"),
        ('`"\\ud800"`', 1, "it cannot be calculated"),
        ("sort_by(@, &@)", [1, "a"], "sort_by() compares numbers or strings"),
        ("from_items(@)", [[1, 2]], "from_items() takes an array of [name, value]"),
        ("split(@, '')", "x", "split() takes a separator"),
        ("nope(@)", 1, "there is no function nope()"),
    ],
)
def test_what_cannot_be_made_says_why(expression: str, document: Any, reason: str) -> None:
    assert applied(expression, document) == f"transform_failed: {reason}"


def test_what_would_call_itself_ends() -> None:
    """It cannot be written; Python's own limit ends it nevertheless."""
    for body in ("map(f, [@])", "[map(f, [@]), map(f, [@])]"):
        assert applied(f"{{f: &{body}}} | map(f, [@])", 1) == "transform_cut_off: it nests too deeply"


@pytest.mark.parametrize("name", ["__class__", "__globals__", "func_globals", "get", "keys", "items", "append", "__len__", "visit"])
def test_names_are_those_of_json_members_alone(name: str) -> None:
    for start in ("@", "a", "'x'", "`1`", "keys(@)", "[&a][0]", "`true`", "`null`"):
        assert applied(f'({start})."{name}"', {"a": {"b": 1}}) is None


def test_long_numbers_and_documents_are_refused() -> None:
    for document, reason in (
        ("9" * 400, "a number is beyond the range of a double"),
        (f'"{"x" * 270_000}"', "the document has more than 262144 characters"),
    ):
        assert json.loads(transform.run(["@"], [document])) == [{"reason": f"transform_failed: {reason}"}]


def test_no_cache_grows() -> None:
    for number in range(200):
        assert applied(f"`{number}`", None) == number
    assert bounded_jmespath.compiled.cache_info().currsize == 32
    assert not jmespath.parser.Parser._CACHE  # the library's own


VALUE = st.recursive(
    st.sampled_from([None, 2, -3.5, 1700000000, 1e300, "", "ab", "21.5", "ä;b=2", "x" * 50]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["a", "b", "c"]), inner, max_size=3),
    max_leaves=12,
)
LEAF = st.sampled_from(["@", "a", "b", "c", "`2`", "'ab'", '`[2, "x"]`', '`{"a": [3]}`', "*", '"b"'])
ONE = ["abs", "avg", "ceil", "floor", "keys", "length", "max", "min", "reverse", "sort", "sum", "to_array", "type", "values"]


def larger(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.one_of(
        st.tuples(inner, st.sampled_from([".a", ".b", "[0]", "[-1]", "[*]", "[]", "[1:]", "[::-1]", ".*", "[*].a", "[].b", ".{x: a}"]))
        .map(lambda parts: f"({parts[0]}){parts[1]}"),
        st.tuples(inner, LEAF, st.sampled_from(["==", "!=", "<", ">="]), LEAF).map(lambda p: f"({p[0]})[?{p[1]} {p[2]} {p[3]}]"),
        st.tuples(inner, st.sampled_from(["|", "||", "&&"]), inner).map(lambda p: f"({p[0]}) {p[1]} ({p[2]})"),
        st.tuples(inner, inner).map(lambda p: f"{{x: {p[0]}, y: {p[1]}}}"),
        st.tuples(inner, inner).map(lambda p: f"[{p[0]}, {p[1]}]"),
        inner.map(lambda e: f"!({e})"),
        st.tuples(st.sampled_from(ONE), inner).map(lambda p: f"{p[0]}({p[1]})"),
        st.tuples(st.sampled_from(["sort_by", "max_by", "min_by"]), inner, inner).map(lambda p: f"{p[0]}({p[1]}, &{p[2]})"),
        st.tuples(inner, inner).map(lambda p: f"map(&{p[0]}, {p[1]})"),
        st.tuples(st.sampled_from(["merge", "not_null", "starts_with", "ends_with"]), inner, inner)
        .map(lambda p: f"{p[0]}({p[1]}, {p[2]})"),
    )  # fmt: skip


EXPRESSION = st.recursive(LEAF, larger, max_leaves=8)
OURS = st.sampled_from(
    ["split({}, ';')", "indexed({})", "from_items({})", "to_string({})", "to_number({})", "contains({}, a)", "join('-', {})", "({}) == a"]
)


@given(EXPRESSION, VALUE)
def test_as_the_library_would(expression: str, document: Any) -> None:
    """Where the library answers; what it cannot say in JSON, or would take longer for, has a reason here."""
    try:
        expected = jmespath.search(expression, document)
        json.dumps(expected, allow_nan=False)
    except TypeError:
        return  # it has Python order a text and a number, which by the specification have no order: test_order_of_other_kinds
    except Exception:  # noqa: BLE001  # of whatever kind it is
        expected = None
    found = applied(expression, document)
    if expected is None:
        assert found is None or str(found).startswith(SLUGS)
    else:
        assert found == expected or str(found).startswith("transform_cut_off: ")


@pytest.mark.parametrize("comparison", ["@ < `2`", "`2` <= @"])
def test_order_of_other_kinds(comparison: str) -> None:
    """What has no order compares as null (JMESPath specification, Ordering Operators)."""
    assert applied(f"[?{comparison}]", ["x", None, [1]]) == []
    assert applied(comparison, "x") is None


@given(st.lists(st.tuples(EXPRESSION | st.builds(str.format, OURS, EXPRESSION), VALUE), min_size=1, max_size=4))
@example([("a", {}), ("sum(@)", "x"), ("@", [1])])
def test_any_document_and_any_expression_make_a_result_or_a_reason(pairs: list[tuple[str, Any]]) -> None:
    documents = [json.dumps(document) for _, document in pairs]
    text = transform.run([expression for expression, _ in pairs], documents)
    is_storable(text, b"x" * (1 << 18))
    found = json.loads(text)
    assert len(found) == len(pairs)
    for one in found:
        assert len(one) == 1
        assert "made" in one or one["reason"].startswith(SLUGS)
        assert len(json.dumps(one.get("made"), ensure_ascii=False)) <= 1 << 18


@given(st.text("ab.[]{}()&|!<>=*?:,@`\"'\\ 12-;#\n", max_size=40) | st.text(max_size=20), VALUE)
@example("`{`", None)
@example('"\\u', None)
def test_any_text_is_an_expression_or_told_why_not(text: str, document: Any) -> None:
    reason = check_transform.run(text)
    assert reason is None or 0 < len(reason) < 300
    (found,) = json.loads(transform.run([text], [json.dumps(document)]))
    assert "made" in found or found["reason"].startswith(SLUGS)
