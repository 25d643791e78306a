"""Published data sets by name: what they are, and how to get them."""

from backprop_cli.downloads.catalogue import DATA_SETS, PublishedData, RemoteFile
from backprop_cli.downloads.fetch import download, is_complete

__all__ = ["DATA_SETS", "PublishedData", "RemoteFile", "download", "is_complete"]
