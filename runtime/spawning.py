"""Start an interpreter process; imports little, so that it starts while the agent still loads."""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass

from runtime.instance import Instance

INTERPRETER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "interpreter")
# What of the agent's own environment an interpreter sees; all else may be secret.
PASSED_ON = ("PATH", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "TZ")


@dataclass
class Spawned:
    """A started interpreter: its process, the channel to it, and the pipe of what it prints."""

    pid: int
    control: socket.socket
    output_fd: int


def spawn(instance: Instance) -> Spawned:
    control, theirs = socket.socketpair()
    output_fd, input_fd = os.pipe()
    # posix_spawn, not subprocess: importing that would take longer than starting.
    arguments = [instance.python, INTERPRETER, "serve", str(theirs.fileno()), str(os.getpid())]
    os.set_inheritable(theirs.fileno(), True)
    os.makedirs(instance.work, exist_ok=True)
    try:
        pid = os.posix_spawn(
            instance.python,
            arguments,
            environment(instance),
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
                (os.POSIX_SPAWN_DUP2, input_fd, 1),
                (os.POSIX_SPAWN_DUP2, input_fd, 2),
            ],
        )
    except OSError:
        control.close()
        os.close(output_fd)
        raise
    finally:
        theirs.close()
        os.close(input_fd)
    os.set_blocking(output_fd, False)
    return Spawned(pid, control, output_fd)


def environment(instance: Instance) -> dict[str, str]:
    passed_on = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
    return {
        **passed_on,
        "HOME": instance.work,
        "TMPDIR": instance.work,
        # Packages installed for the user only are part of the node's Python, wherever HOME is.
        "PYTHONUSERBASE": os.environ.get("PYTHONUSERBASE") or os.path.expanduser("~/.local"),
        **instance.env,
        # A parent that has run OpenMP in parallel cannot be forked; the fork gets its threads back.
        "OMP_NUM_THREADS": "1",
    }
