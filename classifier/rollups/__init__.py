"""Counts of what was asked and answered by minute, hour and day: made each minute, read by pages, the newest from raw.

counting.py groups rows, rolling.py writes the counts, reading.py gives them to whoever shows them.
"""

from classifier.rollups.counting import GROWTH
from classifier.rollups.reading import (
    AnswerCounts,
    RequestCounts,
    answers,
    bucket_bounds,
    count_about,
    quantile,
    requests,
)
from classifier.rollups.rolling import rebuild, roll_up, spent_minutes

__all__ = [
    "GROWTH",
    "AnswerCounts",
    "RequestCounts",
    "answers",
    "bucket_bounds",
    "count_about",
    "quantile",
    "rebuild",
    "requests",
    "roll_up",
    "spent_minutes",
]
