"""What the exit code of the command tells the program that ran it."""

from __future__ import annotations

DONE = 0
FAILED = 1
USAGE = 2
UNREACHABLE = 3
NOT_FOUND = 4
TIMED_OUT = 5
INTERRUPTED = 130

MEANINGS = {
    DONE: "done",
    FAILED: "it failed: refused, the node is in trouble, or the cell raised",
    USAGE: "wrong arguments, or a file that cannot be used",
    UNREACHABLE: "the server cannot be reached",
    NOT_FOUND: "there is no such node, pin, checkpoint or instance",
    TIMED_OUT: "what was waited for is not there yet",
    INTERRUPTED: "interrupted",
}
IN_A_LINE = (
    "Exit codes: 0 done, 1 failed, 2 wrong usage, 3 server unreachable, 4 not found, "
    "5 timed out, 130 interrupted."
)


class CommandFailed(Exception):
    """The command ends with this code, having said one sentence and the next step."""

    def __init__(self, sentence: str, *, next_step: str = "", code: int = FAILED) -> None:
        super().__init__(sentence)
        self.sentence = sentence
        self.next_step = next_step
        self.code = code


def wrong_usage(sentence: str, next_step: str = "") -> CommandFailed:
    return CommandFailed(sentence, next_step=next_step, code=USAGE)
