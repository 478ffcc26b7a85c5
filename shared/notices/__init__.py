"""Telling a person: what is wrong (`troubles`), what of it is to be said (`rules`), in which words, by which way."""
