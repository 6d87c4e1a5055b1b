"""Help in plain words: options and arguments are named for what people give, not for Python's types."""

import copy
from typing import Any

from typer.core import TyperCommand, TyperGroup


class Command(TyperCommand):
    """A command with its help in plain words."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the help, as Typer does, of parameters that are named plainly."""
        TyperCommand.format_help(_plain_command(self, ctx), ctx, formatter)

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """What the usage line shows, which errors begin with, too."""
        return TyperCommand.collect_usage_pieces(_plain_command(self, ctx), ctx)


class Group(TyperGroup):
    """The program with its help in plain words."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the help, as Typer does, of parameters that are named plainly."""
        TyperGroup.format_help(_plain_command(self, ctx), ctx, formatter)


def _plain_command(command: Any, ctx: Any) -> Any:
    """A copy for the help alone: what reads the command line stays as it is."""
    shown = copy.copy(command)
    shown.params = [_plain(each) for each in command.get_params(ctx)]
    shown.add_help_option = False  # which is among them
    paragraphs = (command.help or "").split("\n\n")
    shown.help = "\n\n".join(" ".join(each.split()) for each in paragraphs)  # the terminal breaks the lines
    return shown


def _plain(parameter: Any) -> Any:
    """A parameter named by its ``metavar``, by default the last word of its name: ``--hours HOURS``, ``RUN``.

    A flag takes nothing. Bounds are left out: who exceeds them is told.
    """
    shown = copy.copy(parameter)
    shown.min = shown.max = None
    if parameter.param_type_name == "argument":
        word = (parameter.metavar or parameter.name.upper()).removesuffix("...")
        word += "..." if parameter.nargs != 1 else ""
        shown.metavar = word
        shown.display_type_rich = lambda ctx: None
        shown.get_usage_pieces = lambda ctx: [word if parameter.required else f"[{word}]"]
    elif parameter.is_flag:
        shown.metavar = ""
    else:
        shown.metavar = parameter.metavar or parameter.name.strip("_").split("_")[-1].upper()
    return shown
