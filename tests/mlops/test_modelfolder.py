"""Model files that lie in a folder: which are read, what is known of their origin, what is refused."""

from __future__ import annotations

import pytest

from classifier.ml.artifact import DamagedModel
from classifier.models import ModelVersion
from mlops.modelfolder import NotOneModel, read_folder
from tests import factories
from tests.mlops.making import label_tickets, make_trained, small_fit

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("home")]


@pytest.fixture
def folder(tmp_path):
    made = tmp_path / "copied"
    made.mkdir()
    return made


def bytes_of_model() -> bytes:
    return small_fit().model.to_bytes()


def named(content: bytes) -> str:
    return f"version-9-{factories.sha256_of(content)[:12]}.npz"


def test_read_folder_takes_a_file_by_the_digits_of_its_name(folder):
    (folder / named(bytes_of_model())).write_bytes(bytes_of_model())
    (folder / "notes.txt").write_text("not a model")

    found = read_folder(folder)

    assert found.model.categories == small_fit().model.categories
    assert found.version is None
    assert found.origin.endswith("they are whole: their SHA-256 is the one in the file's name.")


def test_read_folder_without_row_or_digits_says_that_the_origin_is_unknown(folder):
    (folder / "model.npz").write_bytes(bytes_of_model())

    assert read_folder(folder).origin.startswith("Its origin is unknown")


def test_read_folder_knows_the_version_of_the_same_bytes_whatever_the_name(folder):
    version = factories.make_version(model=small_fit().model)
    (folder / "renamed-000000000000.npz").write_bytes(bytes_of_model())

    found = read_folder(folder)

    assert found.version == version
    assert found.sha256 == version.artifact_id
    assert "the model file of version 1" in found.origin


def test_read_folder_of_bytes_that_two_versions_have_takes_the_one_with_tickets(folder):
    label_tickets()
    trained = make_trained(small_fit().model)
    factories.make_version(model=small_fit().model)
    (folder / "model.npz").write_bytes(bytes_of_model())

    assert read_folder(folder).version == trained


def test_read_folder_knows_bytes_that_no_version_points_at(folder):
    factories.make_version(model=small_fit().model)
    ModelVersion.objects.all().delete()
    (folder / "model.npz").write_bytes(bytes_of_model())

    assert "no version points at" in read_folder(folder).origin


@pytest.mark.parametrize(
    ("name", "spoil", "words"),
    [
        ("{named}", lambda content: content[:-100], "the file is damaged, or another one"),
        ("model.npz", lambda content: content[:-100], "should be a model file"),
        ("model.npz", lambda content: b"PK\x03\x04 foreign", "should be a model file"),
        ("model.npz", lambda content: b"", "should be a model file"),
        ("version-1-000000000000.npz", lambda content: content, "begins with 000000000000"),
    ],
)
def test_read_folder_refuses_a_truncated_or_foreign_file(folder, name, spoil, words):
    (folder / name.format(named=named(bytes_of_model()))).write_bytes(spoil(bytes_of_model()))

    with pytest.raises(DamagedModel, match=words):
        read_folder(folder)


def test_read_folder_wants_exactly_one_file(folder):
    with pytest.raises(NotOneModel, match="holds none"):
        read_folder(folder)
    for name in ("a.npz", "b.npz"):
        (folder / name).write_bytes(b"")
    with pytest.raises(NotOneModel, match=r"holds 2 \(a.npz, b.npz\)"):
        read_folder(folder)


def test_read_folder_wants_a_folder(folder):
    with pytest.raises(NotOneModel, match="is no folder"):
        read_folder(folder / "nowhere")
