"""Regular expressions that cannot hang: found in time linear to the text, whatever the expression.

No I/O, no clock, no globals but a cache. The engine is Rust's `regex`, which comes with pydantic: it has no look-around
and no back-references, the constructs that need backtracking, and refuses expressions that grow beyond 10 MB.
Source: https://docs.rs/regex, "Untrusted input"; pydantic's `regex_engine`.
"""

from functools import lru_cache

from pydantic_core import SchemaError, SchemaValidator, core_schema

from shared.config.values import shown


def parse_regex(text: str) -> str:
    """Return a regular expression that can be searched for.

    Raises:
        ValueError: says what to write instead.
    """
    try:
        _compiled(text)
    except SchemaError as error:
        if any(words in str(error) for words in ("look-around", "backreferences")):
            why = "uses look-around or a back-reference, which could take for ever; write it without"
        elif "size limit" in str(error):
            why = "repeats too much; write smaller numbers in its braces"
        else:
            why = "is not a regular expression; look at its brackets and backslashes"
        raise ValueError(f"{shown(text)} {why}") from None
    return text


def found(regex: str, value: str) -> bool:
    """Whether a regular expression is found in a value, anywhere unless it says ^ and $; takes linear time."""
    return _compiled(regex).isinstance_python(value)


@lru_cache(maxsize=1024)
def _compiled(regex: str) -> SchemaValidator:
    return SchemaValidator(core_schema.str_schema(pattern=regex, regex_engine="rust-regex"))


def replaced(regex: str, by: str, value: str) -> str:
    r"""A value with everything that a regular expression finds replaced by a literal text.

    The engine only tells whether something is found, so each place is asked about, with the letters beside it that ^,
    $ and \b look at. Of what begins at one place the longest counts.

    Args:
        regex: the expression.
        by: the text.
        value: at most LONGEST_REPLACED characters, so that it takes bounded time.
    """
    done, position = [], 0
    while position <= len(value):
        end = _longest(regex, value, position) if _begins(regex, value, position) else position
        if end > position:
            done.append(by)
            position = end
        else:
            done.append(value[position : position + 1])
            position += 1
    return "".join(done)


LONGEST_REPLACED = 1024
_ONE = "(?s:.)"


def _begins(regex: str, value: str, start: int) -> bool:
    before = _ONE if start else ""
    return found(rf"\A{before}(?:{regex})", value[max(0, start - 1) :])


def _longest(regex: str, value: str, start: int) -> int:
    """Where the longest that is found at a place ends."""
    before = _ONE if start else ""
    for end in range(len(value), start, -1):
        after = _ONE if end < len(value) else ""
        if found(rf"\A{before}(?:{regex}){after}\z", value[max(0, start - 1) : end + 1]):
            return end
    return start
