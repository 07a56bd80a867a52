"""What the command-line tools share: flags that read well, and errors that are one sentence."""

import logging
import os
import re
import shutil
import sys
import textwrap
from collections.abc import Callable, Sequence

from absl import app, flags
from absl import logging as absl_logging

from gan_zoo import output
from gan_zoo.errors import Interrupted, Stopped, UserError

_LONGEST_WORD, _LONGEST_LINE = 300, 1500
"""Characters of an error message. What TFDS says of files to fetch by hand takes about a thousand."""

_LINE, _LEAST_TEXT = 120, 30
"""Characters: of the longest line of a list, and of its descriptions, however narrow the terminal."""


def main(function: Callable[[], int | None], usage: str, groups: dict[str, Sequence[str]]) -> None:
    """Parses the command line and runs `function`; does not return.

    Exit status: what `function` returns (None is 0), or that of an exception of `gan_zoo.errors`, whose message goes to
    standard error: 2 for bad input.

    Args:
        function: The tool; takes no arguments and reads `flags.FLAGS`.
        usage: The first lines of `--help`.
        groups: Headings and the names of the flags under each, in the order of `--help`.
    """
    # TensorFlow's notes on CPU features and absent GPUs; its warnings and errors still come.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "1")
    with output.tolerant_streams():
        logging.basicConfig(format="%(levelname)s: %(message)s", level=logging.WARNING)
        _main(function, usage, groups)


def _main(function: Callable[[], int | None], usage: str, groups: dict[str, Sequence[str]]) -> None:
    def parse(argv):
        if any(a in ("--help", "-h", "-help", "--helpshort", "--helpfull") for a in argv[1:]):
            sys.exit(output.finish(help_text(usage, groups)))
        try:
            rest = flags.FLAGS(argv)
        except flags.Error as error:
            _fail(str(error).removeprefix("FATAL "))
        except (UnicodeDecodeError, OSError) as error:
            _fail(f"--flagfile: a file cannot be read as text: {error}.")
        if rest[1:]:
            _fail(f"{rest[1]!r} is not a flag: all settings are of the form --name=value.")
        return rest

    def run(_):
        # TFDS's and TensorFlow's notes to their own developers; the zoo's warnings go through a logger of its own.
        absl_logging.set_verbosity(absl_logging.ERROR)
        logging.getLogger("gan_zoo").setLevel(logging.WARNING)
        try:
            sys.exit(function() or 0)
        except UserError as error:
            _fail(str(error))
        except Interrupted as interruption:
            output.say(str(interruption))
            sys.exit(interruption.exit_status)
        except Stopped as error:
            _fail(str(error), error.exit_status)
        except KeyboardInterrupt:
            print("interrupted", file=sys.stderr)
            sys.exit(130)

    app.run(run, flags_parser=parse)


def define_matching(pattern: str, note: str) -> list[str]:
    """Defines a flag for a number for every name on the command line that has a form, and returns these names.

    Args:
        pattern: Regular expression that the whole name matches. Flags that are already defined stay as they are.
        note: Description of the flags.
    """
    given = (re.match(r"--?([^=]+)", argument) for argument in sys.argv[1:])
    names = {match[1] for match in given if match and re.fullmatch(pattern, match[1])}
    new = sorted(name for name in names if name not in flags.FLAGS)
    for name in new:
        flags.DEFINE_float(name, None, note)
    return new


def _fail(sentence: str, status: int = UserError.exit_status):
    print(f"error: {one_line(sentence)}", file=sys.stderr)
    sys.exit(status)


def one_line(text: str) -> str:
    """`text` as a line that a terminal shows in full, with a full stop: what it quotes may be anything."""
    words = ("".join(c if c.isprintable() else ascii(c)[1:-1] for c in word) for word in text.split())
    line = _shortened(" ".join(_shortened(word, _LONGEST_WORD) for word in words), _LONGEST_LINE)
    return line if line.endswith((".", "?", "!")) else f"{line}."


def _shortened(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most // 2]}[...]{text[-most // 3 :]}"


def aligned(rows: Sequence[Sequence[str]]) -> str:
    """Rows of as many cells each as text, a line a row, in columns."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join("  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip() for row in rows)


def described(rows: Sequence[tuple[str, str]], width: int | None = None, longest: int = 0) -> str:
    """Names with their descriptions, which are wrapped in a column of their own.

    Args:
        rows: Of a name and its description.
        width: Of the lines, as far as the names leave room; by default that of the terminal or `$COLUMNS`, and no
            more than 120 characters, which is also the width of what goes to a file or a pipe.
        longest: The length of the longest name elsewhere, with whose descriptions these are to line up.
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
    """`usage`, then every flag with its default, under its group's heading."""
    lines = [usage.strip(), ""]
    for heading, names in groups.items():
        lines.append(f"{heading}:")
        for name in names:
            flag = flags.FLAGS[name]
            left = f"  --{name}" + ("" if flag.boolean else f"={_kind(flag)}")
            default = "" if flag.default in (None, False, []) else f" [{flag.default}]"
            # absl adds the values of an enum, which stand on the left already, and a note to repeatable flags.
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
