"""``--set KEY=VALUE``."""

import pytest

from backprop_cli.config import check_config
from backprop_cli.errors import ConfigError

TEXT = """\
data:
  format: cifar10
  path: a
training:
  epochs: 5
  schedule: {kind: step, every: 3}
"""


def config(*overrides, text=TEXT):
    return check_config(text, "some.yaml", overrides)


def problems(*overrides, text=TEXT):
    with pytest.raises(ConfigError) as refused:
        config(*overrides, text=text)
    return str(refused.value).split("\n")


def one(*overrides, text=TEXT):
    lines = problems(*overrides, text=text)
    assert len(lines) == 1, lines
    return lines[0]


def test_a_key_of_the_file_is_replaced_and_the_rest_stays():
    found = config("training.epochs=7")
    assert found.training.epochs == 7
    assert found.training.schedule.every == 3
    assert config().training.epochs == 5


def test_a_key_that_the_file_has_not_is_added_with_its_section():
    found = config("model.dtype=float64", "training.early_stopping.patience=3", "l2=1e-3")
    assert (found.model.dtype, found.training.early_stopping.patience, found.l2) == (
        "float64", 3, 1e-3,
    )  # fmt: skip


def test_the_later_one_wins():
    assert config("l2=1", "l2=2", "l2=3").l2 == 3
    assert config("training={epochs: 2}", "training.epochs=9").training.epochs == 9
    assert config("training.epochs=9", "training={epochs: 2}").training.epochs == 2


def test_a_value_is_yaml():
    assert config("data.train=[b, c]").data.train == ["b", "c"]
    assert config("data.train=null").data.train is None
    assert config("data.limit=").data.limit is None
    assert config("output='1e3'").output == "1e3"
    assert config("output=a=b").output == "a=b"
    assert config("output=no").output == "no"
    assert config(" training.epochs = 3 ").training.epochs == 3
    assert config('output="a b ☃"').output == "a b ☃"


def test_a_mapping_replaces_a_whole_section():
    found = config("training.schedule={kind: cosine, minimum: 1e-4}")
    assert found.training.schedule.minimum == 1e-4
    without = config(text=TEXT.split("training:")[0])
    assert config("training={seed: 42}").training == without.training


def test_another_format_is_chosen_with_its_keys():
    found = config("data={format: npy, path: b.npz}")
    assert (found.data.format, found.data.path) == ("npy", "b.npz")
    said = one("data.format=idx", "data.labels=fine")
    assert said.startswith("--set data.labels=fine: data.labels: unknown key")


@pytest.mark.parametrize("override", ["training.epochs", "epochs", "", "=3", "a..b=3", ".=1",
                                      ".a=1", "a.=1", " =1", "training. .epochs=3"])  # fmt: skip
def test_what_is_no_key_and_value_is_told_so(override):
    said = one(override)
    assert said.startswith(f"--set {override}: ")
    assert "KEY=VALUE" in said or "unknown key" in said


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("trainng.epochs=3", "trainng: unknown key; did you mean 'training'?"),
        ("training.epoch=3", "training.epoch: unknown key; did you mean 'epochs'?"),
        ("epochs=3", "epochs: unknown key; did you mean 'training.epochs'?"),
        ("learning_rate=3", "did you mean 'training.learning_rate'?"),
        ("data.pth=3", "data.pth: unknown key; did you mean 'path'?"),
        (
            "training.epochs=many",
            "training.epochs: expected an integer >= 1, or auto, found 'many'",
        ),
        (
            "training.epochs=0",
            "training.epochs: expected an integer >= 1, or auto, found 0",
        ),
        (
            "training.epochs=",
            "training.epochs: expected an integer >= 1, or auto, found nothing",
        ),
        ("training.epochs.deep=1", "epochs is not a mapping"),
        ("data.path.deep.er=1", "path is not a mapping"),
        ("data.train.0=b", "train"),
        ("training=3", "training: expected a mapping of keys, found 3"),
        ("data.format=npz", "data.format: expected one of"),
        ("training.epochs=[1", "not valid YAML"),
        ("training.epochs='1", "not valid YAML"),
        ("output=!!python/name:os.system x", "tag"),
        ("output=&a b", "anchor"),
        ("output=*a", "alias"),
        ("training.schedule={kind: step, kind: step}", "kind: duplicate key"),
        ("training.epochs=\udcff", "not valid YAML"),
    ],
)
def test_a_mistake_is_one_line_that_names_the_option(override, words):
    said = one(override)
    shown = override.replace("\udcff", "\\udcff")  # what cannot be printed is escaped
    assert said.startswith(f"--set {shown}:"), said
    assert words in said


def test_a_mistake_inside_a_mapping_is_that_of_the_option_not_of_the_file():
    said = one("training={epochs: -1}")
    assert said.startswith("--set training={epochs: -1}:"), said


def test_a_section_that_the_file_leaves_at_null_can_be_set():
    """As in a run's own config.yaml, where every key stands with its default."""
    text = TEXT + "  early_stopping: null\n"
    found = config("training.early_stopping.patience=3", text=text)
    assert found.training.early_stopping.patience == 3


@pytest.mark.parametrize("value", ["a\nb", "1\n---\n2", "[1,\n2"])
def test_a_value_of_several_lines_is_told_in_one(value):
    with pytest.raises(ConfigError) as refused:
        config(f"training.epochs={value}")
    assert len(str(refused.value).splitlines()) == 1, str(refused.value)


def test_every_bad_override_is_told_at_once():
    lines = problems("trainng.epochs=3", "l2=-1", "loss.x.y=1", "nothing")
    assert len(lines) == 4
    assert all(line.startswith("--set ") for line in lines)


def test_overrides_do_not_mend_a_file_that_is_no_mapping():
    assert one("data={format: synthetic}", text="- 1").startswith("some.yaml:1: expected a mapping")
