"""Test beds: data sets with known classes ("looks"), in which a translator can be seen to drop some."""
