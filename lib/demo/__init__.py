"""Made-up demo corpora, generated from a seed: for seeing the studies work, never for findings about language."""

from lib.demo.news import news

__all__ = ["news"]
