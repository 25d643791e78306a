"""`backprop data download` from a server on this machine, which behaves well or badly."""

import gzip
import hashlib
import io
import json
import pathlib
import socket
import tarfile

import numpy as np
import pytest

pytest.importorskip("pooch", reason="needs the extra: download")

from backprop_cli.cli import data_download
from backprop_cli.downloads import DATA_SETS, PublishedData, RemoteFile, catalogue, is_complete
from backprop_cli.errors import printable
from tests.command import call
from tests.downloads.server import serving
from tests.formats.published_cifar import meta_of, pixels_of, published

NAMES = ["plane", "car", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]


def idx(array):
    header = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">i4").tobytes()
    return gzip.compress(header + array.astype(np.uint8).tobytes(), mtime=0)


def digits(n, seed):
    rng = np.random.default_rng(seed)
    return idx(rng.integers(0, 256, (n, 60, 60))), idx(np.arange(n) % 3)


def archive(*more):
    """Return a .tar.gz of CIFAR-10 in small, after some other members."""
    stream = io.BytesIO()
    folder = "cifar-10-batches-py"
    with tarfile.open(fileobj=stream, mode="w:gz") as tar:
        for info, content in more:
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
        for name in [*(f"data_batch_{k}" for k in range(1, 6)), "test_batch"]:
            content = published(pixels_of(20), labels=[k % 10 for k in range(20)])
            info = tarfile.TarInfo(f"{folder}/{name}")
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
        content = meta_of(label_names=NAMES)
        info = tarfile.TarInfo(f"{folder}/batches.meta")
        info.size = len(content)
        tar.addfile(info, io.BytesIO(content))
    return stream.getvalue()


def remote(name, content):
    return RemoteFile(name, len(content), hashlib.sha256(content).hexdigest())


@pytest.fixture
def mirror(monkeypatch, tmp_path):
    """Return a mirror of two small data sets, which are the ones that can be downloaded."""
    monkeypatch.setenv("BACKPROP_DATA", str(tmp_path / "cache"))
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    with serving() as found:
        train, test = digits(60, 0), digits(30, 1)
        names = [file.name for file in DATA_SETS["mnist"].files]
        found.files = dict(zip(names, [*train, *test], strict=True))
        mnist = PublishedData(
            "digits", "http://page", (found.url,),
            tuple(remote(name, content) for name, content in found.files.items()), "idx",
        )  # fmt: skip
        monkeypatch.setattr(catalogue, "DATA_SETS", DATA_SETS)
        monkeypatch.setitem(DATA_SETS, "mnist", mnist)
        put_archive(found, monkeypatch, archive())
        yield found


def put_archive(mirror, monkeypatch, content, name="cifar-10-python.tar.gz"):
    mirror.files[name] = content
    cifar10 = PublishedData(
        "images", "http://page", (mirror.url,), (remote(name, content),), "cifar10",
        folder="cifar-10-batches-py", unpacks=True,
    )  # fmt: skip
    monkeypatch.setitem(DATA_SETS, "cifar10", cifar10)


def names_asked(mirror):
    return [name for name, _ in mirror.asked]


def test_files_are_downloaded_once(mirror, run, tmp_path):
    status, out, err = run("data", "download", "mnist")
    assert (status, err) == (0, "")
    folder = tmp_path / "cache" / "mnist"
    assert str(folder) in out
    for name in names_asked(mirror):
        assert (folder / name).read_bytes() == mirror.files[name]
    assert len(mirror.asked) == 4
    assert run("data", "download", "mnist")[0] == 0
    assert len(mirror.asked) == 4
    assert sorted(p.name for p in folder.iterdir()) == sorted(names_asked(mirror))  # no leftovers


def test_what_is_printed_is_a_config(mirror, run, tmp_path, capsys):
    _, out, _ = run("data", "download", "mnist")
    (line,) = [line for line in out.splitlines() if line.startswith("data: ")]
    config = tmp_path / "config.yaml"
    config.write_text(f"{line}\ntraining: {{epochs: 1}}\noutput: '{tmp_path}/run'\n", "utf-8")
    assert call("train", "--config", config) == 0
    capsys.readouterr()
    _, out, _ = run("data", "download", "mnist", "--json")
    assert json.loads(out)["mnist"]["path"] == str(tmp_path / "cache" / "mnist")


def test_a_download_that_breaks_off_goes_on(mirror, run):
    name, content = "train-images-idx3-ubyte.gz", mirror.files["train-images-idx3-ubyte.gz"]
    mirror.cut_after = 150_000
    status, out, err = run("data", "download", "mnist")
    assert (status, out) == (2, "")
    assert "the connection broke; run the command again to go on from there" in err
    mirror.cut_after = None
    assert run("data", "download", "mnist")[0] == 0
    assert mirror.asked[:2] == [(name, None), (name, f"bytes={2 * 65536}-")]
    assert len(content) > 200_000


def test_a_server_that_cannot_go_on_starts_again(mirror, run):
    mirror.cut_after = 150_000
    run("data", "download", "mnist")
    mirror.cut_after, mirror.ranges = None, False
    assert run("data", "download", "mnist")[0] == 0


def test_a_whole_part_is_taken(mirror, run, tmp_path):
    """The last byte had arrived when the process was killed."""
    name = "train-images-idx3-ubyte.gz"
    folder = tmp_path / "cache" / "mnist"
    folder.mkdir(parents=True)
    (folder / f".{name}.part").write_bytes(mirror.files[name])
    assert run("data", "download", "mnist")[0] == 0
    assert (folder / name).read_bytes() == mirror.files[name]


def test_a_part_of_something_else_is_thrown_away(mirror, run, tmp_path):
    folder = tmp_path / "cache" / "mnist"
    folder.mkdir(parents=True)
    (folder / ".train-images-idx3-ubyte.gz.part").write_bytes(b"something else")
    status, _, err = run("data", "download", "mnist")
    assert status == 2
    assert "not the expected content" in err
    assert run("data", "download", "mnist")[0] == 0


def test_the_next_mirror_is_tried(mirror, run):
    with serving() as bad:
        status, _, err = run("data", "download", "mnist", "--mirror", bad.url.rstrip("/"))
        assert (status, err) == (0, "")
        assert len(bad.asked) == 4  # 404
    with serving() as wrong:
        wrong.files = dict.fromkeys(mirror.files, b"a page that says sorry")
        status, _, err = run("data", "download", "cifar10", "--mirror", wrong.url)
        assert (status, err) == (0, "")
        assert names_asked(wrong) == ["cifar-10-python.tar.gz"]


def test_what_is_wrong_with_each_mirror_is_told(mirror, run, tmp_path):
    mirror.files["cifar-10-python.tar.gz"] = b"another file"
    with serving() as bad:
        status, out, err = run("data", "download", "cifar10", "--mirror", bad.url)
    assert (status, out) == (2, "")
    assert f"{bad.url}cifar-10-python.tar.gz: HTTP 404; " in err
    assert f"{mirror.url}cifar-10-python.tar.gz: not the expected content" in err
    assert not is_complete(DATA_SETS["cifar10"], tmp_path / "cache" / "cifar10")


def test_without_a_network_files_can_be_put_there_by_hand(mirror, run, monkeypatch, tmp_path):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # nobody listens
        nowhere = f"http://127.0.0.1:{closed.getsockname()[1]}/"
        files = dict(mirror.files)
        for name in ("mnist", "cifar10"):
            own = DATA_SETS[name]
            gone = PublishedData(**{**vars(own), "mirrors": (nowhere,)})
            monkeypatch.setitem(DATA_SETS, name, gone)
            status, out, err = run("data", "download", name)
            assert (status, out) == (2, "")
            folder = tmp_path / "cache" / name
            assert f"Error: {nowhere}{own.files[0].name}: cannot connect\n" in err
            assert f"put into {folder}, and run the command again" in err
            for file in own.files:
                assert f"{nowhere}{file.name} (SHA-256 {file.sha256})" in err
                (folder / file.name).write_bytes(files[file.name])
            assert run("data", "download", name)[0] == 0
    assert mirror.asked == []


def test_an_archive_is_unpacked(mirror, run, tmp_path):
    assert run("data", "download", "cifar10")[0] == 0
    folder = tmp_path / "cache" / "cifar10" / "cifar-10-batches-py"
    assert (folder / "data_batch_1").read_bytes()[:3] == b"\x80\x02}"
    assert [p.name for p in folder.parent.iterdir()] == [folder.name]  # the archive is gone
    assert run("data", "download", "cifar10")[0] == 0
    assert len(mirror.asked) == 1
    (folder / "data_batch_3").write_bytes(b"damaged")
    assert run("data", "download", "cifar10")[0] == 0
    assert len(mirror.asked) == 2
    assert (folder / "data_batch_3").read_bytes() != b"damaged"


def test_a_config_finds_it_there(mirror, run, tmp_path):
    config = tmp_path / "config.yaml"
    config.write_text(
        f"data: {{format: cifar10}}\ntraining: {{epochs: 1}}\noutput: '{tmp_path}/run'\n", "utf-8"
    )
    status, _, err = run("train", "--config", config)
    assert status == 2
    assert "found nothing there; backprop data download cifar10 puts it there" in err
    assert run("data", "download", "cifar10")[0] == 0
    assert run("train", "--config", config)[0] == 0


def test_only_plain_files_of_the_folder_are_unpacked(mirror, run, monkeypatch, tmp_path):
    def member(name, kind=tarfile.REGTYPE, link=""):
        info = tarfile.TarInfo(name)
        info.type, info.linkname = kind, link
        return info, b"evil" if kind == tarfile.REGTYPE else b""

    put_archive(mirror, monkeypatch, archive(
        member("../outside"), member("/outside"), member("cifar-10-batches-py/../outside"),
        member("cifar-10-batches-py/sub/deeper"), member("elsewhere/data_batch_1"),
        member("cifar-10-batches-py/.contents.json"),
        member("cifar-10-batches-py/link", tarfile.SYMTYPE, "/etc/passwd"),
    ))  # fmt: skip
    assert run("data", "download", "cifar10")[0] == 0
    found = sorted(p.name for p in (tmp_path / "cache").rglob("*") if p.is_file())
    batches = [f"data_batch_{k}" for k in range(1, 6)]
    assert found == [".contents.json", "batches.meta", *batches, "test_batch"]
    assert not (tmp_path / "outside").exists()


def test_an_archive_that_is_none(mirror, run, monkeypatch):
    for content in (b"plain text", archive()[:3000]):
        put_archive(mirror, monkeypatch, content)
        status, _, err = run("data", "download", "cifar10")
        assert status == 2
        assert "cannot unpack" in err


def test_folders_of_ones_own(mirror, run, tmp_path):
    assert run("data", "download", "mnist", "cifar10", "--output", tmp_path / "own")[0] == 0
    assert sorted(p.name for p in (tmp_path / "own").iterdir()) == ["cifar10", "mnist"]
    assert not (tmp_path / "cache").exists()


def test_a_folder_that_cannot_be_written(mirror, run, tmp_path):
    (tmp_path / "file").write_text("")
    status, out, err = run("data", "download", "mnist", "--output", tmp_path / "file")
    assert (status, out) == (2, "")
    assert "cannot write" in err
    assert err.count("\n") == 1


def test_the_list_says_what_is_here(mirror, run, tmp_path):
    run("data", "download", "mnist")
    _, out, _ = run("data", "list")
    here = {line.split()[0]: "here" in line for line in out.splitlines()[: len(DATA_SETS)]}
    assert here == {name: name == "mnist" for name in DATA_SETS}
    _, out, _ = run("data", "list", "--json")
    found = json.loads(out)
    assert found["folder"] == str(tmp_path / "cache")
    assert found["data_sets"]["mnist"]["here"] is True
    assert found["data_sets"]["cifar10"]["here"] is False


def test_names_that_are_none(run):
    status, _, err = run("data", "download", "cifar11")
    assert status == 2
    assert "cifar11: no such data set; there are cifar10, cifar100, mnist" in err


def test_pooch_is_needed(mirror, run, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pooch", None)
    status, _, err = run("data", "download", "mnist")
    assert status == 2
    assert "needs pooch, found none: install backprop-cli[download]" in err


def test_the_help_names_every_data_set():
    text = data_download.download.help
    assert all(name in text for name in DATA_SETS)


@pytest.mark.parametrize("name", DATA_SETS)
def test_the_catalogue_is_whole(name):
    own = DATA_SETS[name]
    assert len(own.mirrors) >= 2
    assert all(mirror.startswith("http") and mirror.endswith("/") for mirror in own.mirrors)
    for file in own.files:
        assert len(file.sha256) == 64
        assert set(file.sha256) <= set("0123456789abcdef")
        assert printable(file.name) == pathlib.PurePath(file.name).name
    assert own.unpacks is bool(own.folder)
