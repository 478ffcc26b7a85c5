"""Edits of data sets on their way: pure, over the bytes of a data set's header; see docs/adr/0021-edits.md."""
