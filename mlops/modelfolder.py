"""A model file that lies in a folder, such as one copied from another machine: read, checked, its origin told."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from classifier.ml.artifact import DamagedModel
from classifier.ml.model import from_bytes
from classifier.models import ModelArtifact, ModelVersion

if TYPE_CHECKING:
    from classifier.ml.model import TextModel

NAMED = re.compile(r"-([0-9a-f]{12})\.npz$")  # as ModelVersion.path names them: version-3-0123456789ab.npz


class NotOneModel(ValueError):
    """The folder does not hold exactly one model file that can be read; the message says what it holds."""


@dataclass(frozen=True, eq=False)
class ModelFile:
    """A model from a folder. version: ours with the very same bytes, if there is one. origin: in words."""

    path: Path
    sha256: str
    model: TextModel
    version: ModelVersion | None
    origin: str


def read_folder(folder: Path) -> ModelFile:
    """The one model in a folder, whole and sound, and what is known of where it comes from.

    Its bytes are checked against a ModelArtifact row or, failing that, the 12 digits in the file's name.
    Raises NotOneModel, and DamagedModel for a file whose digits are not its own or that is no model of ours.
    """
    path = _only_file(folder)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise NotOneModel(
            f"The model file must be readable; {path}: {error.strerror}. Mend its permissions."
        ) from error
    sha256 = hashlib.sha256(content).hexdigest()
    version, origin = _origin(path, sha256)
    try:
        model = from_bytes(content, sha256=sha256)
    except DamagedModel as error:
        raise DamagedModel(f"{path}: {error}") from error
    return ModelFile(path=path, sha256=sha256, model=model, version=version, origin=origin)


def _only_file(folder: Path) -> Path:
    if not folder.is_dir():
        raise NotOneModel(f"A model folder must exist and hold one .npz file; {folder} is no folder. Name another.")
    try:
        found = sorted(path for path in folder.iterdir() if path.suffix == ".npz" and path.is_file())
    except OSError as error:
        raise NotOneModel(
            f"A model folder must be readable; {folder}: {error.strerror}. Mend its permissions."
        ) from error
    if len(found) != 1:
        names = f" ({', '.join(path.name for path in found[:5])}{', ...' if len(found) > 5 else ''})" if found else ""
        raise NotOneModel(
            f"A model folder must hold exactly one .npz file; {folder} holds {len(found) or 'none'}{names}. "
            "Copy the one that is meant into a folder of its own."
        )
    return found[0]


def _origin(path: Path, sha256: str) -> tuple[ModelVersion | None, str]:
    """Our version with these bytes, if there is one, and the origin in words."""
    # The same model trained twice is one row of bytes: a version with frozen tickets can be scored on them.
    same = ModelVersion.objects.filter(artifact_id=sha256).order_by("-number")
    version = same.filter(run__dataset__isnull=False).first() or same.first()
    if version is not None:
        return version, f"It is the model file of {version}: its SHA-256 is that of our row."
    if ModelArtifact.objects.filter(pk=sha256).exists():
        return None, "Its bytes are a row of ours that no version points at."
    digits = NAMED.search(path.name)
    if digits is None:
        return None, "Its origin is unknown: no version of ours has these bytes, and its name holds no digest."
    if digits[1] != sha256[:12]:
        raise DamagedModel(
            f"{path}: by its name the file's SHA-256 begins with {digits[1]}, and it begins with {sha256[:12]}: "
            "the file is damaged, or another one. Copy it again."
        )
    return None, "No version of ours has these bytes; they are whole: their SHA-256 is the one in the file's name."
