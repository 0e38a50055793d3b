"""Files that other tools read or write: indexes as their formats, and their formats as vectors; one file for each."""
