"""Text in the form of a call, as flags take it: "warm_up", "until(d_loss=0.5)", "two_lines(theta=0.5)"."""

import ast
from typing import Any


def literal(text: str) -> Any:
    """The value that `text` writes as one of Python's literals.

    Raises:
        ValueError: It is none, or is too deep or too long for Python to read.
    """
    try:
        return ast.literal_eval(text)
    except (SyntaxError, TypeError, MemoryError, RecursionError) as error:
        raise ValueError(str(error)) from None


def parse_call(text: str) -> tuple[str, dict[str, Any]]:
    """The name and the arguments of a call: "until(d_loss=0.5)" is ("until", {"d_loss": 0.5}).

    Args:
        text: A name, with or without arguments by keyword, whose values are Python's literals.

    Raises:
        ValueError: It is of another form.
    """
    try:
        tree = ast.parse(text.strip(), mode="eval").body
        if isinstance(tree, ast.Name):
            return tree.id, {}
        if not isinstance(tree, ast.Call) or not isinstance(tree.func, ast.Name) or tree.args:
            raise ValueError("not a call by keyword")
        arguments = {keyword.arg: ast.literal_eval(keyword.value) for keyword in tree.keywords}
    except (SyntaxError, TypeError, MemoryError, RecursionError) as error:
        raise ValueError(str(error)) from None
    # **mappings have no name, and Python's parser lets a name come twice.
    if None in arguments or len(arguments) < len(tree.keywords):
        raise ValueError("not a call by keyword")
    return tree.func.id, arguments
