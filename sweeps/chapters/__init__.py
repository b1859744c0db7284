"""Chapters of a study: a question from STUDY.toml in, a Section of the report out."""
