"""Image files: found, decoded, named and written."""
