"""Files of other tools: writes an index in the format of a tool, and reads such files as vectors. One module each."""
