"""The command `gan-zoo`: its tools, its help and its errors. test_packaging.py runs the installed one."""

import importlib.util
import sys
from types import SimpleNamespace

import pytest

from gan_zoo import __main__ as command
from gan_zoo.util import errors, versions


def call(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["gan-zoo", *arguments])
    with pytest.raises(SystemExit) as ended:
        command.main()
    return ended.value.code


def test_every_tool_is_a_module_that_python_can_run():
    for module, text in command.TOOLS.values():
        spec = importlib.util.find_spec(module)
        assert spec.submodule_search_locations is None or importlib.util.find_spec(f"{module}.__main__")
        assert text.endswith(".")


@pytest.mark.parametrize("arguments", [(), ("--help",), ("help",)])
def test_help_lists_the_tools(arguments, monkeypatch, capsys):
    assert call(monkeypatch, *arguments) == 0
    shown = capsys.readouterr().out
    assert all(f"\n  {name} " in shown for name in command.TOOLS)


def test_a_tool_gets_the_other_arguments(monkeypatch):
    ran = []
    run = lambda module, **how: ran.append((module, sys.argv[1:], how))  # noqa: E731
    monkeypatch.setattr(command.runpy, "run_module", run)
    monkeypatch.setattr(sys, "argv", ["gan-zoo", "sample", "--model=x", "--num=3"])
    command.main()
    assert ran == [("gan_zoo.sample", ["--model=x", "--num=3"], {"run_name": "__main__", "alter_sys": True})]


def test_an_unknown_tool_is_one_sentence(monkeypatch, capsys):
    assert call(monkeypatch, "trian", "--model=x") == 2
    error = capsys.readouterr().err
    assert error.startswith("error: 'trian' is not a tool. Did you mean 'train'? There are train, sample, evaluate")
    assert len(error.splitlines()) == 1


def test_the_command_of_a_process_can_be_run_again(monkeypatch):
    main = type(sys)("__main__")
    monkeypatch.setitem(sys.modules, "__main__", main)
    monkeypatch.setattr(sys, "argv", ["/somewhere/train.py", "--steps=2"])
    assert versions.command() == ["train.py", "--steps=2"]
    main.__spec__ = SimpleNamespace(name="gan_zoo.training.__main__")
    assert versions.command() == ["-m", "gan_zoo.training", "--steps=2"]
    main.__spec__ = SimpleNamespace(name="gan_zoo.sample")
    assert versions.command() == ["-m", "gan_zoo.sample", "--steps=2"]


def test_messages_name_the_flags_of_the_tool_that_runs():
    def message():
        return f"{errors.argument('num')}=1 is few, {errors.argument('seed')} is not"

    assert message() == "num=1 is few, seed is not"
    with errors.in_flags(num="--samples", seed="--seed"), errors.in_flags(num="--num", file=None):
        assert message() == "--num=1 is few, --seed is not"
        assert errors.argument("file") is None
    assert message() == "num=1 is few, seed is not"
