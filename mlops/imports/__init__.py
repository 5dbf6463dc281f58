"""Files that people upload: taken in and looked at, started and cancelled by them, carried out by a worker.

An import is one transaction, and the row's success is written in it: whoever is killed leaves all of it or nothing.
"""

from mlops.imports.looking import MOST_ROWS, SHOWN_ROWS, Options
from mlops.imports.telling import Done, progress
from mlops.imports.uploading import (
    MOST_WAITING,
    MOST_WORDS,
    ImportInProgress,
    NotPossible,
    UnusableFile,
    cancel,
    change,
    start,
    upload,
    why_not,
)
from mlops.imports.working import LostImport, NothingToDo, look_after, work

__all__ = [
    "MOST_ROWS",
    "MOST_WAITING",
    "MOST_WORDS",
    "SHOWN_ROWS",
    "Done",
    "ImportInProgress",
    "LostImport",
    "NotPossible",
    "NothingToDo",
    "Options",
    "UnusableFile",
    "cancel",
    "change",
    "look_after",
    "progress",
    "start",
    "upload",
    "why_not",
    "work",
]
