"""Made-up rows for demonstrations: a log, a version with its scores, a drift snapshot; and how they are removed.

All of them are flagged as demo. They hang on a version of their own that never answers, so that nothing which counts
the version in production meets them; everything else leaves them out unless it is asked for them.
"""

from mlops.samples.categories import TooFewCategories, UnreadableFile, places
from mlops.samples.drift import make_snapshot
from mlops.samples.logs import MOST_HOURS, MOST_LOGS, SampleLog, make_log
from mlops.samples.removing import Removal, in_words, purge
from mlops.samples.versions import make_version, newest_version, write_files
from mlops.samples.whole import BeingMade, NotThePlace, are_there, demand_the_place, make_whole, remove_whole

__all__ = [
    "MOST_HOURS",
    "MOST_LOGS",
    "BeingMade",
    "NotThePlace",
    "Removal",
    "SampleLog",
    "TooFewCategories",
    "UnreadableFile",
    "are_there",
    "demand_the_place",
    "in_words",
    "make_log",
    "make_snapshot",
    "make_version",
    "make_whole",
    "newest_version",
    "places",
    "purge",
    "remove_whole",
    "write_files",
]
