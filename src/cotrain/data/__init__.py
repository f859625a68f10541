"""From a file or a frame to encoded rows: read, infer, clean, split, encode, store, draw batches. What is learnt from the data
(scales, labels, cycles) is learnt from the training split only, kept as JSON and the same for every row that ever comes.

>>> from cotrain.data import infer, read_table, split_rows
>>> table = read_table({"age": ["31", "?", "45", "52"] * 5, "city": ["Rom", "Oslo"] * 10})
>>> [column.kind for column in infer(table.frame).values()], table.steps[0].count
(['number', 'binary'], 5)
>>> {name: len(rows) for name, rows in split_rows(table.frame, seed=0).rows.items()}
{'train': 14, 'valid': 2, 'test': 4}
"""

from cotrain.data.augment import Augmentation, AugmentSettings
from cotrain.data.encode import TableEncoder
from cotrain.data.infer import KINDS, Column, described, infer
from cotrain.data.picture_colours import ColourSettings
from cotrain.data.picture_moves import AffineSettings
from cotrain.data.pieces import LargeTable, large_table
from cotrain.data.prepare import Prepared, prepare
from cotrain.data.read import Table, read_given, read_table
from cotrain.data.sample import EncodedData, several
from cotrain.data.settings import DataSettings, ReadSettings, SplitSettings
from cotrain.data.shards import ShardedData
from cotrain.data.split import Splits, split_rows
from cotrain.data.stream import prepare_stream

__all__ = [
    "KINDS",
    "AffineSettings",
    "AugmentSettings",
    "Augmentation",
    "ColourSettings",
    "Column",
    "DataSettings",
    "EncodedData",
    "LargeTable",
    "Prepared",
    "ReadSettings",
    "ShardedData",
    "SplitSettings",
    "Splits",
    "Table",
    "TableEncoder",
    "described",
    "infer",
    "large_table",
    "prepare",
    "prepare_stream",
    "read_given",
    "read_table",
    "several",
    "split_rows",
]
