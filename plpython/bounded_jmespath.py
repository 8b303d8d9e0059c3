"""JMESPath (jmespath.org) with bounds, for `transform`: shared lines, embedded into what checks expressions and what applies them.

An expression runs in a backend that all tenants share, and nothing interrupts Python there. So what it asks for is counted in steps before
it is done, each of at most about a microsecond and a hundred bytes. The library parses and walks the tree; whatever it would do in one go,
however long that takes, is done here instead.
"""

import json
import re
from functools import lru_cache
from typing import Any

from jmespath import exceptions, functions, parser, visitor

from plpython.json_text import integer, real, string

MAX_STEPS = 1 << 18
MAX_TEXT = 1 << 17
MAX_DOCUMENT = 1 << 18
MAX_LEVELS = 128
NUMBER = re.compile(r"-?(?:0|[1-9][0-9]{0,40})(?:\.[0-9]{1,40})?(?:[eE][+-]?[0-9]{1,3})?")
# What a later version of the library adds has not been looked at.
FUNCTIONS = frozenset([
    "abs", "avg", "ceil", "contains", "ends_with", "floor", "from_items", "indexed", "join", "keys", "length", "map", "max", "max_by",
    "merge", "min", "min_by", "not_null", "reverse", "sort", "sort_by", "split", "starts_with", "sum", "to_array", "to_number", "to_string",
    "type", "values",
])  # fmt: skip


class CutOffError(Exception):
    """What an expression asks for is more than it may have."""


class Meter:
    """Counts down the steps that an expression may still take."""

    def __init__(self) -> None:
        self.left = self.allowed = 0

    def allow(self, steps: int) -> None:
        self.left = self.allowed = steps

    def charge(self, steps: int) -> None:
        self.left -= steps
        if self.left < 0:
            raise CutOffError(f"it takes more than {self.allowed} steps")

    @staticmethod
    def document(size: int) -> None:
        """Refuse what would take long to read."""
        if size > MAX_DOCUMENT:
            raise ValueError(f"the document has more than {MAX_DOCUMENT} characters")

    def text(self, size: int) -> None:
        """Charge for a text of so many characters before it is made."""
        if size > MAX_TEXT:
            raise CutOffError(f"it makes a text of more than {MAX_TEXT} characters")
        self.charge(size >> 4)

    def search(self, text: str, part: str) -> None:
        """Charge for looking for a part of a text: until Python 3.10 that can take as long as both multiplied."""
        self.charge((len(text) >> 5) + (len(text) * len(part) >> 10))

    def comparison(self, values: "list[Any]") -> None:
        """Charge for sorting values that are all strings or all numbers; a long string may be in it many times."""
        if values and isinstance(values[0], str):
            self.charge(sum(map(len, values)) >> 5)


def write(value: Any, pieces: "list[str]", meter: Meter, level: int = 0) -> None:
    """Append a value as JSON text: ValueError for what JSON has not. Shared parts count as often as they are written."""
    meter.charge(1)
    if isinstance(value, str):
        meter.text(len(value))
        pieces.append(string(value))
    elif value is None or isinstance(value, bool):
        pieces.append(json.dumps(value))
    elif isinstance(value, int):
        pieces.append(integer(value))
    elif isinstance(value, float):
        pieces.append(real(value))
    elif not isinstance(value, (list, dict)):
        raise ValueError("what follows & is no value")
    elif level == MAX_LEVELS:
        raise CutOffError(f"it nests arrays and objects more than {MAX_LEVELS} deep")
    elif isinstance(value, list):
        for place, item in enumerate(value):
            pieces.append("," if place else "[")
            write(item, pieces, meter, level + 1)
        pieces.append("]" if value else "[]")
    else:
        for place, (key, item) in enumerate(value.items()):
            meter.text(len(key))
            pieces.append(f"{',' if place else '{'}{string(key)}:")
            write(item, pieces, meter, level + 1)
        pieces.append("}" if value else "{}")


def written(value: Any, meter: Meter) -> str:
    """Return a value as JSON text of at most 128 KiB."""
    pieces: list[str] = []
    write(value, pieces, meter)
    text = "".join(pieces)
    if len(text.encode()) > MAX_TEXT:
        raise CutOffError(f"it makes more than {MAX_TEXT} bytes")
    return text


class Functions(functions.Functions):
    """The library's functions, and split, from_items (both as in JMESPath Community) and indexed, charged before they work."""

    def __init__(self, meter: Meter) -> None:
        self.meter = meter

    def call_function(self, function_name: str, resolved_args: "list[Any]") -> Any:
        if function_name not in FUNCTIONS:
            raise ValueError(f"there is no function {function_name}()")
        for argument in resolved_args:
            if isinstance(argument, (list, dict)):
                self.meter.charge(len(argument))
            elif isinstance(argument, str):
                self.meter.charge(len(argument) >> 5)
        return super().call_function(function_name, resolved_args)

    def equal(self, a: Any, b: Any) -> bool:
        """Compare as the specification does, step by step: lists that share their parts can be exponentially large."""
        self.meter.charge(1)
        if isinstance(a, list) and isinstance(b, list):
            return len(a) == len(b) and all(self.equal(x, y) for x, y in zip(a, b))  # noqa: B905  # strict is newer than the oldest Python
        if isinstance(a, dict) and isinstance(b, dict):
            return len(a) == len(b) and all(key in b and self.equal(item, b[key]) for key, item in a.items())
        if isinstance(a, str) and isinstance(b, str):
            self.meter.charge(len(a) >> 5)
            return a == b
        if isinstance(a, bool) or isinstance(b, bool):
            return a is b
        return bool(a == b)

    def keys_of(self, name: str, array: "list[Any]", expref: Any) -> "list[Any]":
        keys = [expref.visit(expref.expression, item) for item in array]
        kinds = {type(key) for key in keys}
        if not kinds <= {int, float} and kinds != {str}:
            raise ValueError(f"{name}() compares numbers or strings")
        self.meter.comparison(keys)
        return keys

    @functions.signature({"types": ["array", "string"]}, {"types": []})
    def _func_contains(self, subject: Any, search: Any) -> bool:
        if isinstance(subject, list):
            return any(self.equal(item, search) for item in subject)
        if not isinstance(search, str):
            return False
        self.meter.search(subject, search)
        return search in subject

    @functions.signature({"types": ["array"]})
    def _func_from_items(self, items: "list[Any]") -> "dict[str, Any]":
        if not all(isinstance(item, list) and len(item) == 2 and isinstance(item[0], str) for item in items):
            raise ValueError("from_items() takes an array of [name, value]")
        return dict(items)

    @functions.signature({"types": ["array"]})
    def _func_indexed(self, array: "list[Any]") -> "list[dict[str, Any]]":
        self.meter.charge(2 * len(array))
        return [{"index": place, "value": item} for place, item in enumerate(array)]

    @functions.signature({"types": ["string"]}, {"types": ["array-string"]})
    def _func_join(self, separator: str, array: "list[str]") -> str:
        self.meter.text(sum(map(len, array)) + len(separator) * len(array))
        return separator.join(array)

    @functions.signature({"types": ["array-number", "array-string"]})
    def _func_max(self, array: "list[Any]") -> Any:
        self.meter.comparison(array)
        return max(array, default=None)

    @functions.signature({"types": ["array"]}, {"types": ["expref"]})
    def _func_max_by(self, array: "list[Any]", expref: Any) -> Any:
        keys = self.keys_of("max_by", array, expref)
        return array[max(range(len(array)), key=keys.__getitem__)] if array else None

    @functions.signature({"types": ["array-number", "array-string"]})
    def _func_min(self, array: "list[Any]") -> Any:
        self.meter.comparison(array)
        return min(array, default=None)

    @functions.signature({"types": ["array"]}, {"types": ["expref"]})
    def _func_min_by(self, array: "list[Any]", expref: Any) -> Any:
        keys = self.keys_of("min_by", array, expref)
        return array[min(range(len(array)), key=keys.__getitem__)] if array else None

    @functions.signature({"types": ["array-string", "array-number"]})
    def _func_sort(self, array: "list[Any]") -> "list[Any]":
        self.meter.comparison(array)
        return sorted(array)

    @functions.signature({"types": ["array"]}, {"types": ["expref"]})
    def _func_sort_by(self, array: "list[Any]", expref: Any) -> "list[Any]":
        keys = self.keys_of("sort_by", array, expref)
        return [array[place] for place in sorted(range(len(array)), key=keys.__getitem__)]

    @functions.signature({"types": ["string"]}, {"types": ["string"]})
    def _func_split(self, text: str, separator: str) -> "list[str]":
        if not separator:
            raise ValueError("split() takes a separator")
        self.meter.search(text, separator)
        self.meter.charge(text.count(separator))
        return text.split(separator)

    @functions.signature({"types": []})
    def _func_to_number(self, value: Any) -> Any:
        if isinstance(value, str):
            return json.loads(value) if NUMBER.fullmatch(value) else None
        return value if isinstance(value, (int, float)) and not isinstance(value, bool) else None

    @functions.signature({"types": []})
    def _func_to_string(self, value: Any) -> str:
        return value if isinstance(value, str) else written(value, self.meter)


class Interpreter(visitor.TreeInterpreter):
    """The library's evaluator, a step for each node that it visits and for each item that a node copies."""

    def __init__(self) -> None:
        self.meter = Meter()
        self.calls = Functions(self.meter)
        self.methods: dict[str, Any] = {}
        super().__init__(visitor.Options(custom_functions=self.calls))

    def visit(self, node: "dict[str, Any]", *args: Any, **kwargs: Any) -> Any:
        self.meter.charge(1)
        kind = node["type"]
        if kind not in self.methods:
            self.methods[kind] = getattr(self, f"visit_{kind}")
        return self.methods[kind](node, *args, **kwargs)

    def visit_comparator(self, node: "dict[str, Any]", value: Any) -> Any:
        left, right = self.visit(node["children"][0], value), self.visit(node["children"][1], value)
        name = node["value"]
        if name in ("eq", "ne"):
            return self.calls.equal(left, right) == (name == "eq")
        if isinstance(left, str) and isinstance(right, str):
            self.meter.charge(min(len(left), len(right)) >> 5)
        elif isinstance(left, bool) or isinstance(right, bool) or not (isinstance(left, (int, float)) and isinstance(right, (int, float))):
            return None
        return self.COMPARATOR_FUNC[name](left, right)

    def visit_flatten(self, node: "dict[str, Any]", value: Any) -> Any:
        base = self.visit(node["children"][0], value)
        if not isinstance(base, list):
            return None
        self.meter.charge(sum([len(item) if isinstance(item, list) else 1 for item in base]))
        merged: list[Any] = []
        for item in base:
            if isinstance(item, list):
                merged.extend(item)
            else:
                merged.append(item)
        return merged

    def visit_slice(self, node: "dict[str, Any]", value: Any) -> Any:
        if isinstance(value, list):
            self.meter.charge(len(value) >> 2)
        return super().visit_slice(node, value)


@lru_cache(maxsize=32)
def compiled(expression: str) -> Any:
    """Parse an expression; the library's own cache, which every session would fill besides, is left empty."""
    tree = parser.Parser().parse(expression).parsed
    parser.Parser.purge()
    return tree


def why(error: Exception) -> str:
    """Say why an expression makes nothing of a document, without a word of the document's."""
    if isinstance(error, CutOffError):
        return f"transform_cut_off: {error}"
    if isinstance(error, exceptions.JMESPathTypeError):
        return f"transform_failed: {error.function_name}() does not take {functions.TYPES_MAP.get(error.actual_type, error.actual_type)}"
    if isinstance(error, RecursionError):
        return "transform_cut_off: it nests too deeply"
    if type(error) is ValueError:
        return f"transform_failed: {error}"
    return "transform_failed: it cannot be calculated"
