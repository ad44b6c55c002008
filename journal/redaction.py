"""Keeping secrets out: what is taken out of requests, reasons and logs before anybody can read it. Pure.

A field is secret by its name (`adminPass`, `X-Auth-Token`, `user_data`), wherever it stands: in a nested request, in
JSON or `name=value` inside a text, in base64 that decodes to such a text. Beside that, a text loses passwords in URLs,
authorization headers, private keys, and tokens that can be told by their look.
"""

import binascii
import json
import logging
import re
import traceback
from collections.abc import Mapping
from typing import Any, Final

import attrs

from journal.events import Data

REDACTED: Final = "[redacted]"

_WORDS: Final = (
    r"(?:^|_)(?:pass|passwd|password|passphrase|passcode|pwd|secret|token|credential|user_data|authorization|cookie)s?(?:_|$)"
)
_KEYS: Final = r"(?:^|_)keys?$|(?:^|_)(?:private|secret|access|api|ssh)_key(?:_|$)"
_SECRET_NAME: Final = re.compile(f"{_WORDS}|{_KEYS}")
_PUBLIC_NAME: Final = re.compile(r"public_keys?$")
_CAMEL: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")

_FIELD: Final = re.compile(r"""(?P<name>[A-Za-z][\w.-]*)[\\"']*\s*[:=]\s*""")
_VALUE: Final = re.compile(
    r""""(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|[\\"']*[\[({].*|[\\"']+[^"'\\]*[\\"']*|[^\s,;&"'(){}\[\]]+""", re.DOTALL
)
"""Quoted or not. Of a list or an object that cannot be read as JSON, nobody knows the end: it goes to the text's end."""
_URL_PASSWORD: Final = re.compile(r"(?<=://)([^/\s:@]*):[^/\s]+@")
_AUTHORIZATION: Final = re.compile(r"\b(bearer|basic|negotiate)\s+[\w.~+/=-]{6,}", re.IGNORECASE)
_PRIVATE_KEY: Final = re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)", re.DOTALL)
_TOKEN: Final = re.compile(r"\b(?:gAAAA[\w-]{20,}={0,2}|eyJ[\w-]+\.eyJ[\w-]+\.[\w-]*|AKIA[0-9A-Z]{16}|gh[pousr]_\w{20,})")
"""Fernet (keystone), JSON Web Token, Amazon, GitHub."""
_BASE64: Final = re.compile(r"(?<![\w+/-])[A-Za-z0-9+/_-]{12,}={0,2}")
_DECODER: Final = json.JSONDecoder()
_DEEPEST: Final = 3
"""How often base64 may be wrapped in base64."""


def redacted(data: Data) -> Data:
    """Return what an event says without its secrets."""
    changes: dict[str, Any] = {}
    for field in ("request", "reason"):
        value = getattr(data, field, None)
        if value is not None and (without := redacted_value(value)) != value:
            changes[field] = without
    return attrs.evolve(data, **changes) if changes else data


def redacted_value(value: Any) -> Any:
    """Return a JSON value without its secrets."""
    match value:
        case str():
            return redacted_text(value)
        case Mapping():
            return {
                name: REDACTED if is_secret(str(name)) and inner is not None else redacted_value(inner)
                for name, inner in value.items()
            }
        case list() | tuple():
            return [redacted_value(inner) for inner in value]
        case _:
            return value


def redacted_text(text: str, depth: int = 0) -> str:
    """Return a text without its secrets."""
    text = _PRIVATE_KEY.sub(REDACTED, text)
    text = _URL_PASSWORD.sub(rf"\1:{REDACTED}@", text)
    text = _AUTHORIZATION.sub(rf"\1 {REDACTED}", text)
    text = _TOKEN.sub(REDACTED, text)
    text = _without_secret_fields(text)
    return text if depth == _DEEPEST else _BASE64.sub(lambda found: _decoded(found, depth), text)


def is_secret(name: str) -> bool:
    """Whether a field of this name holds a secret."""
    plain = re.sub(r"\W+", "_", _CAMEL.sub("_", name)).lower()
    return _SECRET_NAME.search(plain) is not None and _PUBLIC_NAME.search(plain) is None


class RedactingFilter(logging.Filter):
    """Takes secrets out of a logger's records: out of their messages and out of their tracebacks."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Let every record through, without its secrets."""
        record.msg, record.args = redacted_text(record.getMessage()), ()
        if record.exc_info and record.exc_info[1] is not None:
            record.exc_text = redacted_text("".join(traceback.format_exception(record.exc_info[1])).rstrip())
        return True


def _without_secret_fields(text: str) -> str:
    """Return a text without the values of secret fields, in JSON that it holds and outside of it."""
    done, position = [], 0
    for opening in re.finditer(r"[{\[]", text):
        if opening.start() < position:
            continue
        try:
            value, end = _DECODER.raw_decode(text, opening.start())
        except (ValueError, RecursionError):
            continue
        without = redacted_value(value)
        readable = text[opening.start() : end] if without == value else json.dumps(without)
        done += [_without_values(text[position : opening.start()]), readable]
        position = end
    return "".join((*done, _without_values(text[position:])))


def _without_values(text: str) -> str:
    done, position = [], 0
    for field in _FIELD.finditer(text):
        if field.start() < position or not is_secret(field["name"]):
            continue
        value = _VALUE.match(text, field.end())
        if value is not None and not value[0].lstrip("\\\"'").startswith(REDACTED):
            done += [text[position : field.end()], REDACTED]
            position = value.end()
    return "".join((*done, text[position:]))


def _decoded(found: re.Match[str], depth: int) -> str:
    """Return a piece of base64 as it is, or redacted if it decodes to a text that has a secret."""
    piece = found[0].rstrip("=").replace("-", "+").replace("_", "/")
    try:
        text = binascii.a2b_base64(piece + "=" * (-len(piece) % 4), strict_mode=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return found[0]
    return REDACTED if redacted_text(text, depth + 1) != text else found[0]
