"""What is read of YAML 1.2's core schema, and what of YAML is refused."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backprop_cli.config import check_config, load_config
from backprop_cli.errors import ConfigError

SYNTHETIC = "data: {format: synthetic}\n"


def refusal(text):
    with pytest.raises(ConfigError) as refused:
        check_config(text, "some.yaml")
    lines = str(refused.value).splitlines()
    assert len(lines) == 1, lines
    return lines[0]


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("1e-3", 1e-3), ("1E-3", 1e-3), ("1e3", 1000.0), ("1.e3", 1000.0), (".5", 0.5),
        ("5.", 5.0), ("+.5", 0.5), ("+1", 1.0), ("007", 7.0), ("1.5e+2", 150.0), ("2", 2.0),
        ("0.1", 0.1), ("4.9e-324", 5e-324), ("0.1  # a comment", 0.1),
    ],
)  # fmt: skip
def test_numbers_are_those_of_yaml_1_2(written, value):
    # float64 holds every number that YAML can write.
    found = check_config(f"{SYNTHETIC}model: {{dtype: float64}}\nl2: {written}\n", "t")
    assert found.l2 == value
    assert isinstance(found.l2, float)


@pytest.mark.parametrize("written", ["1_000", "1:30", "0b11", "1e", "e3", ".", "--1", "1e3.0"])
def test_what_is_a_number_in_yaml_1_1_only_is_a_word(written):
    assert "expected a number, found '" in refusal(f"{SYNTHETIC}l2: {written}\n")


@pytest.mark.parametrize("word", ["yes", "no", "on", "off", "y", "n", "Yes", "NO", "Off"])
def test_yes_and_no_are_words(word):
    text = f"data: {{format: npy, path: a, classes: [{word}, other]}}\n"
    assert check_config(text, "t").to_mapping()["data"]["classes"] == [word, "other"]
    assert check_config(f"{SYNTHETIC}output: {word}\n", "t").output == word


@pytest.mark.parametrize(
    "word", ["2024-01-01", "12:30:00", "1_000", "=", "0x", "1.2.3", "-", "1-2"]
)
def test_dates_and_the_like_are_words(word):
    assert check_config(f"{SYNTHETIC}output: {word}x\n", "t").output == f"{word}x"
    if word not in ("-", "="):
        assert check_config(f"{SYNTHETIC}output: {word}\n", "t").output == word


@pytest.mark.parametrize(
    ("written", "value"), [("true", True), ("True", True), ("TRUE", True), ("false", False)]
)
def test_booleans(written, value):
    text = f"{SYNTHETIC}training: {{horizontal_flips: {written}}}\n"
    assert check_config(text, "t").training.horizontal_flips is value


@pytest.mark.parametrize("written", ["null", "~", "Null", "NULL", ""])
def test_null(written):
    assert check_config(f"data: {{format: synthetic, limit: {written}}}\n", "t").data.limit is None


@pytest.mark.parametrize("written", ["'1e3'", '"1e3"', "|-\n  1e3", ">-\n  1e3"])
def test_quoted_and_block_scalars_are_text(written):
    assert check_config(f"{SYNTHETIC}output: {written}\n", "t").output == "1e3"


@pytest.mark.parametrize("written", ["'true'", "'null'", "''", "'3'"])
def test_quotes_make_no_number_or_word_of_text(written):
    assert "expected an integer" in refusal(f"{SYNTHETIC}training: {{epochs: {written}}}\n")


def test_flow_and_block_style_say_the_same():
    flow = "{data: {format: cifar10, path: a, train: [b, c]}, training: {epochs: 3}}"
    block = "data:\n  format: cifar10\n  path: a\n  train:\n  - b\n  - c\ntraining:\n  epochs: 3\n"
    assert check_config(flow, "t") == check_config(block, "t")
    assert check_config(block.replace("\n", "\r\n"), "t") == check_config(block, "t")
    assert check_config(f"---\n{block}...\n", "t") == check_config(block, "t")


def test_a_byte_order_mark_is_no_part_of_the_first_key():
    for text in (b"\xef\xbb\xbf" + SYNTHETIC.encode(), "\ufeff" + SYNTHETIC):
        assert check_config(text, "t") == check_config(SYNTHETIC, "t")


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        (SYNTHETIC + "output: !!python/object/apply:os.system [echo]\n", 2, "tag"),
        (SYNTHETIC + "output: !!str 3\n", 2, "tag"),
        (SYNTHETIC + "output: !mine 3\n", 2, "tag"),
        (SYNTHETIC + "output: ! 3\n", 2, "tag"),
        (SYNTHETIC + "training: !!map {}\n", 2, "tag"),
        (SYNTHETIC + "!!str output: a\n", 2, "tag"),
        (SYNTHETIC + "output: &here a\n", 2, "anchor"),
        (SYNTHETIC + "training: &here {}\n", 2, "anchor"),
        (SYNTHETIC + "output: *here\n", 2, "alias"),
        ("a: &a [x, x]\nb: &b [*a, *a]\n", 1, "anchor"),
        (SYNTHETIC + "[a, b]: 3\n", 2, "key"),
        (SYNTHETIC + "? {a: b}\n: 3\n", 2, "key"),
        (SYNTHETIC + "---\n" + SYNTHETIC, 2, "one YAML document"),
        (SYNTHETIC + "...\n---\n" + SYNTHETIC, 3, "one YAML document"),
        (SYNTHETIC + "a: b: c\n", 2, "not valid YAML"),
        (SYNTHETIC + "\tl2: 1\n", 2, "not valid YAML"),
        (SYNTHETIC + "output: 'a\n\n\n", None, "not valid YAML"),
        (SYNTHETIC + "output: [a\n", None, "not valid YAML"),
        (SYNTHETIC + " l2: 1\n", None, "not valid YAML"),
        (SYNTHETIC + "output: @a\n", 2, "not valid YAML"),
        (SYNTHETIC + 'output: "\\q"\n', 2, "not valid YAML"),
        (SYNTHETIC + "output: {a: 1]\n", 2, "not valid YAML"),
        ("", 1, "expected a mapping of keys, found nothing"),
        ("# only a comment\n", 1, "expected a mapping of keys, found nothing"),
        ("---\n", 1, "expected a mapping of keys, found nothing"),
        ("~", 1, "expected a mapping of keys, found nothing"),
        ("- data\n", 1, "expected a mapping of keys, found list"),
        ("just words\n", 1, "expected a mapping of keys, found"),
        ("42\n", 1, "expected a mapping of keys, found"),
        ("training: " + "[" * 200, 1, "deep"),
        ("[" * 100_000, 1, "deep"),
        ("{a: " * 5_000, 1, "deep"),
        ("- " * 5_000 + "a", 1, "deep"),
    ],
)
def test_what_a_config_may_not_hold_is_refused_in_one_line(text, line, words):
    said = refusal(text)
    assert said.startswith("some.yaml:" if line is None else f"some.yaml:{line}: "), said
    assert words in said


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"\xff\xfed\x00a\x00t\x00a\x00", "UTF-8"),
        (SYNTHETIC.encode() + b"output: caf\xe9\n", "UTF-8"),
        (SYNTHETIC.encode() + b"output: \xed\xa0\x80\n", "UTF-8"),  # a surrogate
        (SYNTHETIC.encode() + b"output: \xc0\xaf\n", "UTF-8"),  # an overlong form
        (SYNTHETIC.encode() + b"output: a\x00b\n", "#x0000"),
        (SYNTHETIC.encode() + b"output: a\x1bb\n", "#x001b"),
        (b" " * 1_000_001, "1000000 bytes"),
    ],
)
def test_bytes_that_are_no_text_are_refused_in_one_line(content, words):
    said = refusal(content)
    assert said.startswith("some.yaml:")
    assert words in said


def test_a_surrogate_by_its_escape_is_refused_in_one_line():
    assert refusal(SYNTHETIC + 'output: "\\ud800"\n').startswith("some.yaml:2: output: ")


def test_a_tag_runs_nothing(tmp_path):
    mark = tmp_path / "it ran"
    refusal(f"output: !!python/object/apply:os.system ['touch {mark}']\n")
    assert not mark.exists()


@settings(derandomize=True, deadline=None)
@given(st.binary(max_size=60))
def test_any_bytes_are_a_config_or_a_config_error(content):
    with pytest.raises(ConfigError, match=r"^some\.yaml:"):
        check_config(content, "some.yaml")


@settings(derandomize=True, deadline=None)
@given(st.text(alphabet=" \n\t-:?[]{},#&*!|>'\"%@`\\ab01.~", max_size=40))
def test_any_signs_of_yaml_are_a_config_or_a_config_error(text):
    with pytest.raises(ConfigError):  # no data section can be written in these letters
        check_config(text, "some.yaml")


def test_a_file_that_cannot_be_read(tmp_path):
    for path in (tmp_path, tmp_path / "none.yaml", tmp_path / ("a" * 300)):
        with pytest.raises(ConfigError, match="cannot read the config") as refused:
            load_config(path)
        assert str(refused.value).startswith(str(path))
        assert "\n" not in str(refused.value)


def test_a_missing_config_is_also_what_a_library_caller_expects(tmp_path):
    with pytest.raises(ValueError, match="cannot read"):
        load_config(tmp_path / "none.yaml")


def test_a_file_with_a_name_of_spaces_and_letters_is_read(tmp_path):
    path = tmp_path / "a b" / "конфиг ☃.yaml"
    path.parent.mkdir()
    path.write_text(SYNTHETIC + "los: 1\n")
    with pytest.raises(ConfigError) as refused:
        load_config(path)
    assert str(refused.value).startswith(f"{path}:2: los: unknown key")
