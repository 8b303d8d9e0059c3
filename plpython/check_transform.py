"""Why a text is no JMESPath expression that `transform` can have, with the place; nothing where it is one.

It has at most 2,000 characters and 400 nodes, nested at most 40 deep, and calls functions that there are with as many arguments as they
take. What follows & is for four of them alone: as a value, it could be handed to itself.
"""

# /// plpython
# returns = "text"
# volatility = "immutable"
# module = "jmespath"
# ///

from typing import Any

from jmespath import exceptions, lexer

from plpython.bounded_jmespath import FUNCTIONS, Functions, compiled

MAX_CHARACTERS = 2000
MAX_NODES = 400
MAX_NESTING = 40
TOO_NESTED = f"must be nested at most {MAX_NESTING} deep"
BY_EXPRESSION = ("map", "max_by", "min_by", "sort_by")


def at(place: int) -> str:
    return f"at character {place + 1}"


def broken(error: exceptions.JMESPathError) -> str:
    """Say where the parser stops, and at what."""
    if isinstance(error, exceptions.IncompleteExpressionError):
        return "is not JMESPath: it ends too early"
    if isinstance(error, exceptions.LexerError):
        return f"is not JMESPath {at(error.lexer_position)}: {error.message}"
    if isinstance(error, exceptions.ParseError):
        return f"is not JMESPath {at(error.lex_position)}: {error.msg}"
    return "must not be empty"


def unknown_function(expression: str) -> "str | None":
    """Name the first function that there is not."""
    tokens = list(lexer.Lexer().tokenize(expression))
    for token, following in zip(tokens, tokens[1:]):  # noqa: B905, RUF007  # strict and pairwise are newer than the oldest Python
        if token["type"] == "unquoted_identifier" and following["type"] == "lparen" and token["value"] not in FUNCTIONS:
            return f"calls {token['value'][:50]}() {at(token['start'])}, and there is no such function"
    return None


def wrong_arguments(node: "dict[str, Any]") -> "str | None":
    """Say how many arguments a function takes, where that is not how many it has."""
    wanted, count = Functions.FUNCTION_TABLE[node["value"]]["signature"], len(node["children"])
    is_open = any(argument.get("variadic") for argument in wanted)
    if count == len(wanted) or (is_open and count > len(wanted)):
        return None
    return f"calls {node['value']}() with {count} arguments, and it takes {len(wanted)}{' or more' if is_open else ''}"


def unfit(tree: "dict[str, Any]") -> "str | None":
    """Say what is wrong with an expression that is one."""
    nodes, count = [(tree, 0)], -1
    while nodes:
        node, depth = nodes.pop()
        children = [child for child in node["children"] if isinstance(child, dict)]
        is_call = node["type"] == "function_expression"
        reason = wrong_arguments(node) if is_call else None
        count += 1
        if count > MAX_NODES:
            reason = f"must have at most {MAX_NODES} parts"
        elif depth > MAX_NESTING:
            reason = TOO_NESTED
        elif any(child["type"] == "expref" for child in children) and not (is_call and node["value"] in BY_EXPRESSION):
            reason = "has & elsewhere than in map(), max_by(), min_by() or sort_by()"
        if reason is not None:
            return reason
        nodes += [(child, depth + 1) for child in children]
    return None


def run(expression: str) -> "str | None":
    """Say why a text is no JMESPath expression for `transform`

    The end of a sentence, with the place; null where it is one. The head of the body states the bounds.
    """
    if len(expression) > MAX_CHARACTERS:
        return f"must have at most {MAX_CHARACTERS} characters"
    try:
        tree = compiled(expression)
        return unknown_function(expression) or unfit({"type": "", "children": [tree]})
    except exceptions.JMESPathError as error:
        return broken(error)
    except RecursionError:
        return TOO_NESTED
    except Exception:  # noqa: BLE001  # what the parser does not foresee is no expression
        return "is not JMESPath"
