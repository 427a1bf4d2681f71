"""Made-up demo corpora, from a seed: to see studies work, never for findings about language."""

from lib.demo.acts import LABELS as ACT_LABELS
from lib.demo.acts import acts
from lib.demo.news import LABELS as NEWS_LABELS
from lib.demo.news import news
from lib.demo.reviews import LABELS as REVIEW_LABELS
from lib.demo.reviews import reviews

__all__ = ["ACT_LABELS", "NEWS_LABELS", "REVIEW_LABELS", "acts", "news", "reviews"]
