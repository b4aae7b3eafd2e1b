"""All records."""

from tests.published import fixed

ROWS = (*fixed.ROWS,)
