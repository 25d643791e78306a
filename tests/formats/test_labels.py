"""Labels in the forms that people have them, and the classes that they stand for."""

import csv

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backprop_cli.config import check_config
from backprop_cli.formats import load_dataset
from backprop_cli.formats.columns import as_column
from backprop_cli.formats.labels import as_labels
from tests.formats.broken import SETTINGS, load, refused

X = np.random.default_rng(0).standard_normal((6, 3))
ANIMALS = ["horse", "cat", "cat", "dog", "horse", "cat"]


@pytest.fixture
def folder(tmp_path):
    np.save(tmp_path / "x.npy", X)
    return tmp_path


def data(folder, labels, more=""):
    """Return a data section; ``labels`` is a file, an array or the text of a file."""
    if isinstance(labels, np.ndarray):
        np.save(folder / "y.npy", labels)
        labels = "y.npy"
    elif labels not in ("l.csv", "y.npy"):
        (folder / "y.txt").write_text(labels, encoding="utf-8")
        labels = "y.txt"
    return (
        f"format: npy, path: '{folder}/x.npy', labels: '{folder}/{labels}', test: 0, "
        f"validation: 0{more}"
    )


def named(found):
    """Return the name of each training example's class."""
    return [found.class_names[label] for label in found.train.own_labels()]


@pytest.mark.parametrize(
    ("labels", "classes", "names"),
    [
        (np.array([1, 10, 2, 1, 2, 10]), ("1", "2", "10"), ["1", "10", "2", "1", "2", "10"]),
        (np.array([7, -3, 7, 0, 0, 0]), ("-3", "0", "7"), ["7", "-3", "7", "0", "0", "0"]),
        (np.array([[3], [3], [1], [1], [3], [3]], "i1"), ("1", "3"), list("331133")),
        (np.array([2.0, 1, 1, 10, 2, 1]), ("1", "2", "10"), ["2", "1", "1", "10", "2", "1"]),
        (np.array([2.0, 1, 1, 1, 1, 1], ">f4"), ("1", "2"), list("211111")),
        (np.array([1, 2, 1, 2, 1, 2], "f2"), ("1", "2"), list("121212")),
        (np.array([True, False] * 3), ("0", "1"), list("101010")),
        (np.array([2**64 - 1, 5] * 3, "u8"), ("5", str(2**64 - 1)), [str(2**64 - 1), "5"] * 3),
        (np.array(ANIMALS), ("cat", "dog", "horse"), ANIMALS),
        (np.array(ANIMALS)[:, None], ("cat", "dog", "horse"), ANIMALS),
        (np.array(ANIMALS, "S"), ("cat", "dog", "horse"), ANIMALS),
        (np.array(["10", "9", "9", "9", "9", "9"]), ("9", "10"), ["10", "9", "9", "9", "9", "9"]),
        ("\n".join(ANIMALS), ("cat", "dog", "horse"), ANIMALS),
        ("\ufeffb\r\na\r\na\r\nb\r\nÄ\r\nb\r\n\r\n", ("a", "b", "Ä"), list("baabÄb")),
        ("10\n9\n9\n 1\n1 \n10\n", ("1", "9", "10"), ["10", "9", "9", "1", "1", "10"]),
        ("1.0\n2.0\n1\n2.\n1.0\n1e1\n", ("1", "2", "10"), ["1", "2", "1", "2", "1", "10"]),
        ("007\n7\n007\n7\n7\n7\n", ("007", "7"), ["007", "7", "007", "7", "7", "7"]),
        ("0.5\na\na\n0.5\na\na\n", ("0.5", "a"), ["0.5", "a", "a", "0.5", "a", "a"]),
        ("nan\na\na\nnan\na\na\n", ("a", "nan"), ["nan", "a", "a", "nan", "a", "a"]),
    ],
)  # fmt: skip
def test_labels(folder, labels, classes, names):
    """The classes are the distinct values: numbers by size, without a point; texts as sorted."""
    found = load(data(folder, labels))
    assert found.class_names == classes
    assert named(found) == names
    if isinstance(labels, np.ndarray):
        np.savez(folder / "d.npz", x=X, y=labels)
        found = load(f"format: npy, path: '{folder}/d.npz', test: 0, validation: 0")
        assert (found.class_names, named(found)) == (classes, names)


def test_any_labels_stand_for_themselves():
    texts = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1)

    @SETTINGS
    @given(st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1) | st.lists(texts, min_size=1))
    def check(values):
        labels = as_labels(np.array(values), "some labels", "")
        assert len(set(labels.names)) == len(labels.names) == len(set(map(str, values)))
        if labels.numbers is not None:
            assert [labels.numbers[code] for code in labels.codes] == [int(v) for v in values]
            assert list(labels.numbers) == sorted(set(map(int, values)))
        else:
            assert [labels.names[code] for code in labels.codes] == values
            assert list(labels.names) == sorted(set(values))

    check()


def table(folder, rows, header=("id", "animal", "animal age")):
    with (folder / "l.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *rows])


def test_a_column_of_a_csv(folder):
    rows = [[k, name, k] for k, name in enumerate(ANIMALS)]
    rows[3][1] = 'a "dog",\nor two'
    table(folder, rows)
    found = load(data(folder, "l.csv", ", labels_column: animal"))
    assert named(found) == [row[1] for row in rows]
    refused(data(folder, "l.csv"), "data.labels_column", "l.csv", "id, animal, animal age")
    refused(data(folder, "l.csv", ", labels_column: anmal"), "data.labels_column", "'anmal'")
    refused(data(folder, np.arange(6), ", labels_column: animal"), "data.labels_column", ".csv")
    table(folder, rows, header=("animal", "animal", "age"))
    refused(data(folder, "l.csv", ", labels_column: animal"), "twice")
    table(folder, [*rows[:4], ["9"], rows[5]])
    refused(data(folder, "l.csv", ", labels_column: animal"), "l.csv: line 7 has no value")
    (folder / "l.csv").write_bytes(b"animal\n\xff\n")
    refused(data(folder, "l.csv", ", labels_column: animal"), "l.csv", "UTF-8")
    (folder / "l.csv").write_text('animal\n"a\n')
    refused(data(folder, "l.csv", ", labels_column: animal"), "l.csv", "CSV")
    (folder / "l.csv").write_text("")
    refused(data(folder, "l.csv", ", labels_column: animal"), "l.csv", "none")


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        ("1\n2\n0.5\n1\n1\n1\n", ["y.txt: row 2", "0.5", "regression"]),
        ("1\n2\nnan\n1\n1\n1\n", ["y.txt: row 2", "nan"]),
        (np.array([1, 2, 0.25, 1, 1, 1]), ["y.npy: row 2", "0.25", "regression"]),
        (np.array([1, 2, 1, np.nan, 1, 1]), ["y.npy: row 3", "nan"]),
        (np.array([1, 2, 1, np.inf, 1, 1]), ["y.npy: row 3", "inf"]),
        ("a\n\nb\na\na\na\n", ["y.txt: line 2 is empty"]),
        ("a\nb\n", ["y.txt: 2 labels for the 6 examples of", "x.npy"]),
        ("", ["y.txt: 0 labels"]),
        (np.arange(5), ["y.npy: 5 labels for the 6 examples of", "x.npy"]),
        (np.full(6, 3), ["y.npy: all 6 labels are '3'", "two classes"]),
        ("same\n" * 6, ["y.txt: all 6 labels are 'same'", "two classes"]),
        (np.eye(6, 2), ["exactly one label"]),
        (np.eye(2)[[0, 1, 0, 1, 1, 0]], ["y.npy", "one-hot", "y.argmax(axis=1)"]),
        (np.full((6, 2), 0.5), ["y.npy", "6 x 2 of float64"]),
        (np.zeros(6, "c16"), ["y.npy", "complex128"]),
    ],
)  # fmt: skip
def test_labels_that_are_refused(folder, labels, words):
    said = refused(data(folder, labels), *words)
    assert said.startswith(str(folder / "y."))


def test_the_line_that_converts_one_hot_labels_does(folder, monkeypatch):
    monkeypatch.chdir(folder)
    labels = np.array([0, 2, 1, 2, 1, 0])
    line = refused(data(folder, np.eye(3)[labels])).split("per row; ")[1]
    exec(line, {"np": np})  # noqa: S102
    np.testing.assert_array_equal(np.load("classes.npy"), labels)
    np.savez(folder / "d.npz", x=X, y=np.eye(3)[labels])
    line = refused(f"format: npy, path: '{folder}/d.npz'").split("per row; ")[1]
    exec(line, {"np": np})  # noqa: S102
    with np.load("classes.npz") as made:
        np.testing.assert_array_equal(made["y"], labels)
        np.testing.assert_array_equal(made["x"], X)


def test_one_example(folder):
    np.save(folder / "x.npy", X[:1])
    refused(data(folder, np.array([4])), "y.npy: the only label is '4'", "two classes")


def test_identifiers_are_no_labels(folder):
    np.save(folder / "x.npy", np.zeros((10_001, 1)))
    refused(data(folder, np.arange(10_001)), "y.npy: 10001 distinct labels", "identifiers")
    refused(data(folder, "".join(f"a{k}\n" for k in range(10_001))), "y.txt", "identifiers")


@pytest.mark.parametrize("part", ["validation", "test"])
def test_other_files_are_matched_by_name(folder, part):
    np.save(folder / "other.npy", X[:2])
    (folder / "other.txt").write_text("horse\ndog\n")
    other = f"{part}: '{folder}/other.npy', {part}_labels: '{folder}/other.txt'"
    section = data(folder, np.array(ANIMALS)).replace(f"{part}: 0", other)
    found = load(section)
    labels = found.split(part).own_labels()
    assert [found.class_names[label] for label in labels] == ["horse", "dog"]
    (folder / "other.txt").write_text("horse\nmouse\n")
    refused(section, "other.txt: row 1", "'mouse'", "cat, dog, horse")
    (folder / "other.txt").write_text("horse\n")
    refused(section, "other.txt: 1 labels for the 2 examples of", "other.npy")


def test_a_models_names_are_matched(folder):
    """Names that the data do not have keep their place; integers are no class numbers."""

    def under(names, labels):
        section = check_config(f"data: {{{data(folder, labels)}}}", "t").data
        return load_dataset(section, names).train.own_labels().tolist()

    assert under(("10", "3", "2", "7"), np.array([2, 3, 10, 10, 2, 3])) == [2, 1, 0, 0, 2, 1]
    assert under(tuple("0123456789"), np.array([2, 3, 9, 0, 2, 3])) == [2, 3, 9, 0, 2, 3]
    assert under(("a", "cat", "dog", "horse"), np.array(ANIMALS)) == [3, 1, 1, 2, 3, 1]
    with pytest.raises(ValueError, match=r"y\.npy: row 2 .*'9'.* none of the 2 classes"):
        under(("2", "3"), np.array([2, 3, 9, 2, 2, 3]))


def test_configured_classes(folder):
    numbers, names = np.array([0, 2, 2, 0, 0, 2]), np.array(ANIMALS)
    found = load(data(folder, numbers, ", classes: 4"))
    assert found.class_names == ("0", "1", "2", "3")
    assert found.train.own_labels().tolist() == numbers.tolist()
    found = load(data(folder, numbers, ", classes: [no, maybe, yes]"))
    assert named(found) == ["no", "yes", "yes", "no", "no", "yes"]
    found = load(data(folder, names, ", classes: [horse, mouse, cat, dog]"))
    assert found.class_names == ("horse", "mouse", "cat", "dog")
    assert named(found) == ANIMALS
    refused(data(folder, numbers, ", classes: 2"), "y.npy: labels from 0 to 2", "2 classes")
    refused(data(folder, names, ", classes: [horse, cat]"), "y.npy: row 3", "'dog'", "horse, cat")
    refused(data(folder, names, ", classes: 3"), "data.classes", "y.npy", "list of their names")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "the file is empty"),
        (b"horse\ncat\n", "not an .npy file"),
        (b"\x93NU", "cut short"),
        (None, "cut short: it holds less than its header says"),
    ],
)
def test_npy_files_that_cannot_be_read_are_described_in_plain_words(folder, content, words):
    section = data(folder, np.arange(6))
    content = (folder / "y.npy").read_bytes()[:-8] if content is None else content
    (folder / "y.npy").write_bytes(content)
    said = refused(section, "y.npy: ", words)
    assert "EOF" not in said
    assert "mmap" not in said


def test_python_objects_are_refused_with_what_to_do(folder):
    np.save(folder / "y.npy", np.array(ANIMALS, object), allow_pickle=True)
    refused(data(folder, "y.npy"), "y.npy", "Python objects", "array.astype(str)")


def test_a_column_keeps_its_values():
    column = as_column(np.array([[2.5], [1.0], [2.5]]), "some file")
    np.testing.assert_array_equal(column.distinct[column.codes], [2.5, 1.0, 2.5])
