"""The results of a study whose nodes are made by hand."""

import pytest


@pytest.fixture
def lines_of():
    """The cells of each line of a text, by its first cell."""

    def read(text):
        cells = [[cell.strip() for cell in line.split("  ") if cell.strip()] for line in text.splitlines()]
        return {line[0]: line[1:] for line in cells if line}

    return read
