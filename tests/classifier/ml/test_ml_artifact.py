"""Bytes without pickle: the digest first, then the parsing; all or nothing on disk."""

from __future__ import annotations

import io
import zipfile
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest

from classifier.ml.artifact import DamagedModel, pack, unpack, write


def digest(data: bytes) -> str:
    return sha256(data).hexdigest()


PACKED = pack({"format": 1, "name": "é"}, {"idf": np.array([1.5, 2.0]), "flat": np.zeros((2, 3), dtype=np.float32)})


def test_what_was_packed_is_unpacked() -> None:
    header, arrays = unpack(PACKED, sha256_hex=digest(PACKED).upper())

    assert header == {"format": 1, "name": "é"}
    assert {name: (array.dtype.str, array.tolist()) for name, array in arrays.items()} == {
        "idf": ("<f8", [1.5, 2.0]),
        "flat": ("<f4", [[0.0] * 3] * 2),
    }


def test_packed_bytes_tell_no_time() -> None:
    with zipfile.ZipFile(io.BytesIO(PACKED)) as archive:
        assert {member.date_time for member in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}
        assert {member.compress_type for member in archive.infolist()} == {zipfile.ZIP_STORED}


def test_another_digest_is_refused_before_parsing() -> None:
    with pytest.raises(DamagedModel, match=r"should have the SHA-256 .* theirs is .*manage.py roll_back"):
        unpack(b"not even a zip", sha256_hex=digest(PACKED))


@pytest.mark.parametrize("place", range(0, len(PACKED), 97))
def test_a_flipped_bit_is_refused(place: int) -> None:
    damaged = PACKED[:place] + bytes([PACKED[place] ^ 1]) + PACKED[place + 1 :]

    with pytest.raises(DamagedModel):
        unpack(damaged, sha256_hex=digest(PACKED))


def pickled() -> bytes:
    out = io.BytesIO()
    np.savez(out, header=np.array([{"format": 1}], dtype=object))
    return out.getvalue()


def headless() -> bytes:
    out = io.BytesIO()
    np.savez(out, idf=np.ones(2))
    return out.getvalue()


def array_alone() -> bytes:
    out = io.BytesIO()
    np.save(out, np.ones(2))
    return out.getvalue()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"GIF89a",
        PACKED[:-40],
        PACKED[:300],
        pickled(),
        headless(),
        array_alone(),
        PACKED.replace(b"format", b'fo"mat'),
    ],
    ids=["empty", "foreign", "no directory", "truncated", "pickled", "headless", "array", "broken header"],
)
def test_foreign_bytes_with_their_own_digest_are_refused(data: bytes) -> None:
    with pytest.raises(DamagedModel, match="reading them failed"):
        unpack(data, sha256_hex=digest(data))


def test_an_unreadable_zip_is_refused() -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("header.npy", b"x" * 1000)
    broken = out.getvalue().replace(b"\x08\x00", b"\x63\x00")  # a compression nobody knows

    with pytest.raises(DamagedModel, match="reading them failed"):
        unpack(broken, sha256_hex=digest(broken))


def test_a_header_without_names_is_refused() -> None:
    out = io.BytesIO()
    np.savez(out, header=np.frombuffer(b"[1]", dtype=np.uint8))

    with pytest.raises(DamagedModel, match=r"this one's is \[1\]"):
        unpack(out.getvalue(), sha256_hex=digest(out.getvalue()))


def test_write_gives_the_digest_and_leaves_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "model.npz").write_bytes(b"old")

    found = write(tmp_path / "model.npz", PACKED)

    assert found == digest(PACKED)
    assert [path.name for path in tmp_path.iterdir()] == ["model.npz"]
    assert (tmp_path / "model.npz").read_bytes() == PACKED


def test_write_that_fails_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "model.npz").write_bytes(b"old")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("classifier.ml.artifact.os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        write(tmp_path / "model.npz", PACKED)

    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("model.npz", b"old")]
