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
