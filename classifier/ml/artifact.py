"""Named arrays and a JSON header as bytes and back, without pickle: the file a model is kept in.

What the arrays mean is model.py.
"""

import io
import json
import os
import zipfile
import zlib
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

EPOCH = (1980, 1, 1, 0, 0, 0)  # the zip format's first day: a real date would change the digest of equal models
HEADER = "header"
MEND = "Restore it from a backup, roll back (manage.py roll_back), or train anew (manage.py train)."

Arrays = Mapping[str, NDArray[Any]]


class DamagedModel(ValueError):
    """The bytes are not the model they should be, or no model at all."""


def pack(header: Mapping[str, Any], arrays: Arrays) -> bytes:
    """The header and the arrays as an .npz file; equal contents give equal bytes.

    header: plain JSON types only.

    >>> pack({"format": 1}, {"idf": np.ones(2)}) == pack({"format": 1}, {"idf": np.ones(2)})
    True
    """
    told = json.dumps(header, sort_keys=True, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    members = {HEADER: np.frombuffer(told.encode(), dtype=np.uint8), **arrays}
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", compression=zipfile.ZIP_STORED) as archive:
        for name in sorted(members):
            with archive.open(zipfile.ZipInfo(f"{name}.npy", date_time=EPOCH), "w", force_zip64=True) as member:
                np.lib.format.write_array(member, np.ascontiguousarray(members[name]), allow_pickle=False)
    return out.getvalue()


def unpack(data: bytes, *, sha256_hex: str) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """The header and the arrays of packed bytes. The digest is checked before anything is parsed.

    Raises DamagedModel if the digest differs or the bytes are no such file.

    >>> unpack(b"anything", sha256_hex="0" * 64)
    Traceback (most recent call last):
    classifier.ml.artifact.DamagedModel: The model's bytes should have the SHA-256 000000000000..., theirs is ...
    """
    found = sha256(data).hexdigest()
    if found != sha256_hex.lower():
        raise DamagedModel(
            f"The model's bytes should have the SHA-256 {sha256_hex[:12]}..., theirs is {found[:12]}...: "
            f"the file is damaged, or another one. {MEND}"
        )
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as members:
            arrays = {name: members[name] for name in members.files}
        header = json.loads(arrays.pop(HEADER).tobytes().decode())
    except (ValueError, TypeError, AttributeError, KeyError, OSError, EOFError, RecursionError) as error:
        raise _foreign(error) from error
    except (MemoryError, NotImplementedError, zipfile.BadZipFile, zlib.error) as error:
        raise _foreign(error) from error
    if not isinstance(header, dict):
        raise DamagedModel(f"A model file starts with a header of names and values; this one's is {header!r}. {MEND}")
    return header, arrays


def write(path: str | os.PathLike[str], data: bytes) -> str:
    """Writes the bytes so that the path holds all or nothing of them, and gives their SHA-256 in hex.

    They go to a temporary name in the same folder, are synced, and renamed, so that a crash, a full disk or a reader
    in another process never meets half a model.
    """
    target = Path(path)
    draft = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        with draft.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(target)
    finally:
        draft.unlink(missing_ok=True)
    folder = os.open(target.parent, os.O_RDONLY)  # the rename is an entry of the folder: it is synced, too
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
    return sha256(data).hexdigest()


def _foreign(error: Exception) -> DamagedModel:
    return DamagedModel(f"The bytes should be a model file of this software; reading them failed: {error!r}. {MEND}")
