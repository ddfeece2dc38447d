"""The page to try a node with: one HTML file with its style and script in it, a strict CSP."""

from __future__ import annotations

from base64 import b64encode
from functools import cache
from hashlib import sha256
from pathlib import Path

_FOLDER = Path(__file__).resolve().parent
_STYLE, _SCRIPT = "/*style*/", "/*script*/"


@cache
def page() -> bytes:
    """The same for every node: it learns from its own address which one it is about."""
    text = _read("node.html").replace(_STYLE, _read("node.css"))
    return text.replace(_SCRIPT, _read("node.js")).encode()


def headers() -> dict[str, str]:
    """Nothing runs in it but what was shipped in it, and it speaks to its own origin alone."""
    policy = (
        "default-src 'none'",
        f"script-src '{_hash(_read('node.js'))}'",
        f"style-src '{_hash(_read('node.css'))}'",
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


def _read(name: str) -> str:
    return (_FOLDER / name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    return f"sha256-{b64encode(sha256(text.encode()).digest()).decode()}"
