"""Public tables by name: `load(name)` gives `(table, schema)`, ready for everything else.

Three kinds of names. What is embedded in the package (`"semiconductor-gaps"`) is always there. What the folder
named by the environment variable MFMAT_DATA holds is read from it, and every file is checked against the
folder's list of SHA-256 sums. Any other public table is loaded by its URL and SHA-256, once, into a cache.
Tables stay long: one value a row, the source in a column, one material on as many rows as it has values.
"""

from mfmat.datasets.download import fetch
from mfmat.datasets.loading import Split, cite, load, names, splits

__all__ = ["Split", "cite", "fetch", "load", "names", "splits"]
