"""JSON documents to JSON documents by JMESPath expressions, bounded in steps and size; what cannot be made has a reason instead.

An expression may take 2,000 steps and eight for each character of its document, at most 262,144, about a quarter of a second. A step is a
node of the expression that is visited, an item that is copied or compared, or 16 to 32 characters of text. The result has at most 128 KiB.
Numbers are integers or doubles; a result with NaN or an infinity has a reason instead.
"""

# /// plpython
# returns = "jsonb"
# volatility = "immutable"
# module = "jmespath"
# ///

import json

from plpython.bounded_jmespath import MAX_STEPS, Interpreter, compiled, why, written

INTERPRETER = Interpreter()


def number(digits: str) -> int:
    """Read an integer; ValueError for one beyond the range of a double."""
    if len(digits) > 310:
        raise ValueError("a number is beyond the range of a double")
    return int(digits)


# Of a long integer Python's own reader takes as long as its digits squared.
DECODE = json.JSONDecoder(parse_int=number).decode


def made(expression: str, document: str) -> str:
    """Return {"made": …} or {"reason": …}."""
    meter = INTERPRETER.meter
    meter.allow(min(MAX_STEPS, 2000 + 8 * len(document)))
    try:
        meter.document(len(document))
        return f'{{"made":{written(INTERPRETER.visit(compiled(expression), DECODE(document)), meter)}}}'
    except Exception as error:  # noqa: BLE001  # whatever it is, the messages of others must not fail
        return f'{{"reason":{json.dumps(why(error))}}}'


def run(expressions: list[str], documents: list[str]) -> str:
    """Apply JMESPath expressions to JSON documents, one to each

    Returns an array with {"made": …} or {"reason": "transform_cut_off: …"} for each, in their order; fails for none. The head of the body
    states the bounds.
    """
    return "[" + ",".join([made(expression, document) for expression, document in zip(expressions, documents)]) + "]"  # noqa: B905
