"""`completion`: what a shell needs to complete commands, options and names."""

from __future__ import annotations

import sys
from typing import Annotated, Literal

from cellnode.cli.parameters import option


def completion(
    shell: Annotated[Literal["bash", "zsh", "fish"], option("bash, zsh or fish.")], /
) -> None:
    """Print what a shell needs to complete commands and names.

    Put it where your shell looks:

      cellnode completion bash > ~/.local/share/bash-completion/completions/cellnode
      cellnode completion zsh > ~/.zfunc/_cellnode
      cellnode completion fish > ~/.config/fish/completions/cellnode.fish

    For zsh, `fpath+=(~/.zfunc)` stands before `compinit` in ~/.zshrc.
    """
    from cellnode.cli.app import build

    sys.stdout.write(build().generate_completion(prog_name="cellnode", shell=shell))
