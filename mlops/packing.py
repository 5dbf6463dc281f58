"""What goes along with a model that MLflow keeps: our code that its pipeline calls, and the packages that it needs."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from importlib.metadata import version as installed
from pathlib import Path

from django.conf import settings

# What of ours the recorded pipeline calls, as files that go with it and as the names that skops is to trust.
CODE = (
    "classifier/__init__.py",
    "classifier/ml/__init__.py",
    "classifier/ml/text.py",
    "mlops/__init__.py",
    "mlops/flavour.py",
)
TRUSTED = ("numpy.ravel", "classifier.ml.text.normalise", "mlops.flavour.Terms")


def requirements() -> list[str]:
    return [f"{name}=={installed(name)}" for name in ("mlflow", "scikit-learn", "numpy", "scipy", "skops")]


@contextlib.contextmanager
def code() -> Iterator[list[Path]]:
    """Our packages with nothing in them but what the pipeline calls, to go with the model."""
    with tempfile.TemporaryDirectory(prefix="ticketclf-") as name:
        folder = Path(name)
        for path in CODE:
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(settings.BASE_DIR / path, folder / path)
        yield sorted(folder.iterdir())
