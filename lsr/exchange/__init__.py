"""Files of other tools: writing indexes in their formats, and reading these as vectors. One module per format."""
