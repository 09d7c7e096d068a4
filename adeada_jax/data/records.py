"""Random access to the encoded records of a prepared data set."""

from collections.abc import Sequence

import tensorflow_datasets as tfds
from array_record.python.array_record_data_source import ArrayRecordDataSource


class DamagedRecordError(ValueError):
    """A record, or the file that holds it, cannot be read."""


class Records:
    """The records of a split, of which only some fields are ever parsed; safe to read by several threads."""

    def __init__(self, info: tfds.core.DatasetInfo, split: str, fields: Sequence[str]):
        """Opens all files of the split.

        Args:
          info: of the data set.
          split: with records in it.
          fields: that are parsed.

        Raises:
          DamagedRecordError: the files cannot be read.
        """
        try:
            self._records = ArrayRecordDataSource([str(path) for path in info.splits[split].filepaths])
            self._count = len(self._records)
            # array_record opens a file when a record in it is asked for: all are opened here, so that a data
            # set that takes this one's place later is not read.
            start = 0
            for length in info.splits[split].shard_lengths:
                if length:
                    self._records[start]
                start += length
        except (RuntimeError, OSError, ValueError) as error:
            raise DamagedRecordError(str(error)) from error
        self._features = tfds.features.FeaturesDict({name: info.features[name] for name in fields})
        self._decoders = {name: tfds.decode.SkipDecoding() for name in fields if name != "name"}

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: int) -> dict[str, bytes]:
        """The fields of a record, images and maps as encoded bytes.

        Raises:
          DamagedRecordError: it cannot be read.
        """
        try:
            return self._features.deserialize_example_np(self._records[index], decoders=self._decoders)
        except (RuntimeError, ValueError, IndexError, KeyError) as error:
            raise DamagedRecordError(str(error)) from error
