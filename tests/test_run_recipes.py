"""Recipes: every file is valid, flags beside a recipe replace its own, and errors name the flag."""

import functools
import unittest.mock

import pytest
from absl import flags

from gan_zoo import UserError, recipes
from gan_zoo.registry.variants import find_model, parse_arguments
from gan_zoo.training import command, config


def train_flags(*given):
    """The flags of train.py after a command line, apart from those that other tests define."""
    values = flags.FlagValues()
    define = {name: getattr(flags, name) for name in dir(flags) if name.startswith("DEFINE_")}
    own = {name: functools.partial(function, flag_values=values) for name, function in define.items()}
    with unittest.mock.patch.multiple(flags, **own):
        command.define_flags()
    values(["train.py", *given])
    return values


@pytest.mark.parametrize("name", recipes.names())
def test_every_recipe_is_valid(name):
    recipe, values = recipes.load(name), train_flags()
    recipes.fill(recipe, values)
    fields = {field: values[field].value for field in config.Config.__dataclass_fields__ if field in values}
    filled = config.Config(**fields)
    config.check(filled)
    parse_arguments(find_model(filled.model), filled.set)
    assert filled.run_dir == f"runs/{name}"
    assert recipe.title and recipe.source
    if recipe.result:
        assert {"frechet", "protocol", "minutes", "machine"} == set(recipe.result)
        assert "EfficientNet" in recipe.result["protocol"]
    assert recipe.title in recipe.line()
    assert [line[:17].strip() for line in recipe.about().splitlines()] == ["recipe", "source", "published"]


def test_flags_beside_a_recipe_replace_its_own(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(
        'title = "t"\nsource = "s"\n[flags]\nmodel = "lsgan"\ndataset = "digits"\nwidth = 8\nconditional = true\n'
        'learning_rate = 1e-3\nset = ["b=1", "c=0.5"]\n'
    )
    values = train_flags("--width=4", "--set=c=1", "--set=a=-1", f"--recipe={path}")
    recipes.fill(recipes.load(str(path)), values)
    found = {name: values[name].value for name in ("model", "width", "conditional", "learning_rate", "set", "run_dir")}
    assert found == {
        **{"model": "lsgan", "width": 4, "conditional": True, "learning_rate": 1e-3, "run_dir": "runs/mine"},
        "set": ["b=1", "c=1", "a=-1"],
    }


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "has no table"),
        ("[flags]\n[more]", "has the unknown key 'more': a recipe has flags, published"),
        ("[flags]\n[result]\nfid = 1", "has the unknown key 'fid'"),
        ("[flags", "cannot be read as TOML"),
        ("[flags]\nwidht = 3", "'widht' is not a flag of train.py"),
        ("[flags]\nwidth = 'wide'", "--width=wide: "),
        ("[flags]\nnorm = 'group'", "--norm=group: "),
    ],
)
def test_bad_recipes(text, sentence, tmp_path):
    path = tmp_path / "bad.toml"
    path.write_text(text)
    with pytest.raises(UserError, match=sentence) as caught:
        recipes.fill(recipes.load(str(path)), train_flags())
    assert str(caught.value).startswith("--recipe=")


def test_unknown_recipes(tmp_path):
    with pytest.raises(UserError, match="--recipe=dem is not a recipe. Did you mean .demo"):
        recipes.load("dem")
    with pytest.raises(UserError, match="missing.toml cannot be read"):
        recipes.load(str(tmp_path / "missing.toml"))
