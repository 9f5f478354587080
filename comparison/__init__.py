"""Methods compared on data sets over seeds, at equal cost: what `compare.py` is made of."""
