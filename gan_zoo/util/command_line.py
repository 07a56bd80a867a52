"""Common parts of the command-line tools: parsing and help of flags, and one-line error messages."""

import logging
import os
import re
import shutil
import sys
import textwrap
from collections.abc import Callable, Sequence
from typing import NoReturn

from absl import app, flags
from absl import logging as absl_logging

from gan_zoo.util import console
from gan_zoo.util.errors import Interrupted, Stopped, UserError

_LONGEST_WORD, _LONGEST_LINE = 300, 1500
"""Maximum numbers of characters in a word and in a line of an error message.

TFDS's instructions for files to download by hand have about a thousand characters.
"""

_LINE, _LEAST_TEXT = 120, 30
"""The maximum length of a line in a list, and the minimum width of descriptions in a narrow terminal, in characters."""


def main(function: Callable[[], int | None], usage: str, groups: dict[str, Sequence[str]]) -> None:
    """Parses the command line and runs `function`; does not return.

    The exit status is the return value of `function` (None is 0), or that of an exception of `gan_zoo.util.errors`,
    which is 2 for bad input. The message of such an exception is printed to standard error.

    Args:
        function: The tool; takes no arguments and reads `flags.FLAGS`.
        usage: The first lines of `--help`.
        groups: Headings with the names of the flags under each, in the order of `--help`.
    """
    # Hides TensorFlow's notes on CPU features and missing GPUs, but not its warnings and errors.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "1")
    with console.tolerant_streams():
        logging.basicConfig(format="%(levelname)s: %(message)s", level=logging.WARNING)
        _main(function, usage, groups)


def _main(function: Callable[[], int | None], usage: str, groups: dict[str, Sequence[str]]) -> None:
    def parse(argv):
        if any(a in ("--help", "-h", "-help", "--helpshort", "--helpfull") for a in argv[1:]):
            sys.exit(console.finish(help_text(usage, groups)))
        try:
            rest = flags.FLAGS(argv)
        except flags.Error as error:
            fail(str(error).removeprefix("FATAL "))
        except (UnicodeDecodeError, OSError) as error:
            fail(f"--flagfile: a file cannot be read as text: {error}.")
        if rest[1:]:
            fail(f"{rest[1]!r} is not a flag: all settings are of the form --name=value.")
        return rest

    def run(_):
        # Hides notes of TFDS and TensorFlow for their own developers. The zoo's warnings use a logger of their own.
        absl_logging.set_verbosity(absl_logging.ERROR)
        logging.getLogger("gan_zoo").setLevel(logging.WARNING)
        try:
            sys.exit(function() or 0)
        except UserError as error:
            fail(str(error))
        except Interrupted as interruption:
            console.say(str(interruption))
            sys.exit(interruption.exit_status)
        except Stopped as error:
            fail(str(error), error.exit_status)
        except KeyboardInterrupt:
            print("interrupted", file=sys.stderr)
            sys.exit(130)

    app.run(run, flags_parser=parse)


def define_matching(pattern: str, note: str) -> list[str]:
    """Defines a float flag for every flag name on the command line that matches a pattern, and returns these names.

    Args:
        pattern: Regular expression for the whole name. Flags that are already defined do not change.
        note: Description of the flags.
    """
    given = (re.match(r"--?([^=]+)", argument) for argument in sys.argv[1:])
    names = {match[1] for match in given if match and re.fullmatch(pattern, match[1])}
    new = sorted(name for name in names if name not in flags.FLAGS)
    for name in new:
        flags.DEFINE_float(name, None, note)
    return new


def fail(sentence: str, status: int = UserError.exit_status) -> NoReturn:
    """Ends the process with a sentence on standard error."""
    print(f"error: {one_line(sentence)}", file=sys.stderr)
    sys.exit(status)


def one_line(text: str) -> str:
    """`text` as one printable line of limited length that ends in a full stop; it may quote arbitrary text."""
    words = ("".join(c if c.isprintable() else ascii(c)[1:-1] for c in word) for word in text.split())
    line = _shortened(" ".join(_shortened(word, _LONGEST_WORD) for word in words), _LONGEST_LINE)
    return line if line.endswith((".", "?", "!")) else f"{line}."


def _shortened(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most // 2]}[...]{text[-most // 3 :]}"


def aligned(rows: Sequence[Sequence[str]]) -> str:
    """A table as text, with one line per row and aligned columns. All rows have the same number of cells."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join("  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip() for row in rows)


def described(rows: Sequence[tuple[str, str]], width: int | None = None, longest: int = 0) -> str:
    """A list of names with their descriptions, which are wrapped in a second column.

    Args:
        rows: Pairs of a name and its description.
        width: Width of the lines; long names may exceed it. By default that of the terminal or `$COLUMNS`, but at most
            120 characters, and 120 characters in a file or a pipe.
        longest: Length of the longest name in other lists, to align the descriptions with theirs.
    """
    if width is None:
        width = min(shutil.get_terminal_size((_LINE, 24)).columns, _LINE)
    column = max(longest, *(len(name) for name, _ in rows)) + 4
    lines = []
    for name, text in rows:
        first, *rest = textwrap.wrap(text, max(width - column, _LEAST_TEXT)) or [""]
        lines += [f"  {name:<{column - 2}}{first}".rstrip(), *(f"{'':<{column}}{line}" for line in rest)]
    return "\n".join(lines)


def help_text(usage: str, groups: dict[str, Sequence[str]]) -> str:
    """The text of `--help`: `usage`, then every flag with its default under the heading of its group."""
    lines = [usage.strip(), ""]
    for heading, names in groups.items():
        lines.append(f"{heading}:")
        for name in names:
            flag = flags.FLAGS[name]
            left = f"  --{name}" + ("" if flag.boolean else f"={_kind(flag)}")
            default = "" if flag.default in (None, False, []) else f" [{flag.default}]"
            # Removes absl's additions: the values of an enum, which are already on the left, and a note on repetition.
            note = re.sub(r"^<[^>]*>: |;\s+repeat this option.*$", "", flag.help, flags=re.DOTALL)
            text = textwrap.wrap(note + default, 88)
            if len(left) > 28:
                lines.append(left)
                left = ""
            lines += [f"{left:<30}{text[0]}", *(f"{'':<30}{line}" for line in text[1:])]
        lines.append("")
    return "\n".join(lines).rstrip()


def _kind(flag) -> str:
    values = getattr(flag.parser, "enum_values", None)
    if values:
        return "|".join(values)
    return {"string": "TEXT", "int": "N", "float": "X"}.get(flag.parser.flag_type().split()[-1], "TEXT")
