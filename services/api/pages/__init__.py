"""The api's pages: each one HTML file with its style and script in it, under a strict CSP."""

from __future__ import annotations

from base64 import b64encode
from functools import cache
from hashlib import sha256
from pathlib import Path

_FOLDER = Path(__file__).resolve().parent
_STYLE, _SCRIPT = "/*style*/", "/*script*/"


@cache
def page(name: str) -> bytes:
    """The same bytes for everybody: what it shows, it asks for.

    `node` learns from its own address which node it is about; `bus` shows the AsyncAPI document.
    """
    text = _read(f"{name}.html").replace(_STYLE, _style(name))
    return text.replace(_SCRIPT, _script(name)).encode()


def headers(name: str) -> dict[str, str]:
    """Nothing runs in it but what was shipped in it, and it speaks to its own origin alone."""
    policy = (
        "default-src 'none'",
        f"script-src '{_hash(_script(name))}'",
        f"style-src '{_hash(_style(name))}'",
        "connect-src 'self'",
        "img-src data:",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
    return {
        "Content-Security-Policy": "; ".join(policy),
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
    }


def _style(name: str) -> str:
    """What all pages share, and the page's own."""
    return _read("page.css") + _read(f"{name}.css")


def _script(name: str) -> str:
    return _read("page.js") + _read(f"{name}.js")


def _read(name: str) -> str:
    return (_FOLDER / name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    return f"sha256-{b64encode(sha256(text.encode()).digest()).decode()}"
