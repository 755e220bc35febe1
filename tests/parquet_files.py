"""Parquet files for tests: their rows as they are read, and files that are refused."""

import pytest

from pipeline.sources import table_parquet
from pipeline.sources.table_rows import Columns, check_columns
from tfrecords_schema.errors import InputError


def rows_of(path, with_images=False, **columns):
    """(cells, image) of all rows, after the checks that come first."""
    columns = Columns(**{"split": "", **columns})
    footer = table_parquet.read_footer(path)
    check_columns(path, table_parquet.column_names(footer.schema), columns)
    table_parquet.check_types(path, footer.schema, columns)
    count = len(footer.row_groups)
    return list(table_parquet.read_row_groups(path, 0, count, columns, with_images))


def assert_no_table(path, *named, **columns):
    with pytest.raises(InputError) as error:
        rows_of(path, **columns)
    for text in (path, *named):
        assert text in str(error.value)
