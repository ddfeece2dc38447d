"""The help of the command: as pages that it prints at once, and as one page to read."""

from __future__ import annotations

from pathlib import Path

from cellnode.cli import PAGES, plain
from cellnode.cli.app import build, help_page
from docs import texts

ROOT = Path(__file__).resolve().parent.parent


def paths() -> list[tuple[str, ...]]:
    """`()` for all, then every command, in the order of the help."""
    app = build()
    found: list[tuple[str, ...]] = [()]
    for name, command in app.resolved_commands().items():
        if name.startswith("-"):
            continue
        found.append((name,))
        inner = command.resolved_commands()
        found += [(name, each) for each in inner if not each.startswith("-")]
    return found


def help_pages() -> dict[Path, str]:
    """What `cellnode ... --help` prints, in colours, by the file that holds it."""
    return {
        Path(PAGES) / f"{'-'.join(['cellnode', *path])}.txt": help_page(path, colours=True)
        for path in paths()
    }


def reference() -> str:
    """Every command with its help, as Markdown."""
    sections = [
        f"## {' '.join(['cellnode', *path])}\n\n```text\n{plain(page).rstrip()}\n```"
        for path, page in zip(paths(), help_pages().values(), strict=True)
    ]
    return "\n\n".join([texts.COMMAND_LINE.strip(), *sections])


def write() -> list[str]:
    """The pages, written anew; those of commands that are gone are removed."""
    pages = help_pages()
    Path(PAGES).mkdir(exist_ok=True)
    for old in set(Path(PAGES).glob("*.txt")) - set(pages):
        old.unlink()
    for path, text in pages.items():
        path.write_text(text, encoding="utf-8")
    return [path.relative_to(ROOT).as_posix() for path in pages]
