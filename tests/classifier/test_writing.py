"""Files and folders that are there whole or not at all."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from classifier.writing import InTheWay, whole_file, whole_folder


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


# --- Files ----------------------------------------------------------------------------------------
def test_file_is_there_once_it_is_written(tmp_path: Path) -> None:
    path = tmp_path / "new" / "log.csv"

    with whole_file(path) as file:
        file.write("é\r\n")
        assert not path.exists()

    assert path.read_bytes() == "é\r\n".encode()
    assert names(path.parent) == ["log.csv"]


def test_file_that_fails_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    path.write_text("old")

    with pytest.raises(ZeroDivisionError), whole_file(path) as file:  # noqa: PT012 -- it fails inside
        file.write("half")
        raise ZeroDivisionError

    assert path.read_text() == "old"
    assert names(tmp_path) == ["log.csv"]


def test_file_is_for_its_owner_alone_whatever_the_earlier_one_was(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    path.write_text("old")
    path.chmod(0o666)

    with whole_file(path) as file:
        modes = [mode(found) for found in tmp_path.iterdir() if found != path]
        file.write("new")

    assert (modes, mode(path)) == ([0o600], 0o600)


def test_file_through_a_link_leaves_the_link(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "real")

    with whole_file(tmp_path / "link") as file:
        file.write("new")

    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_text() == "new"


@pytest.mark.parametrize("path", [os.devnull, "/"])
def test_device_or_folder_is_never_replaced_by_a_file(path: str) -> None:
    with pytest.raises(InTheWay, match="must be a file or free"), whole_file(Path(path)):
        pass


# --- Folders --------------------------------------------------------------------------------------
def test_folder_is_there_once_it_is_filled(tmp_path: Path) -> None:
    path = tmp_path / "new" / "dataset"

    with whole_folder(path) as fresh:
        (fresh / "a.csv").write_text("a")
        assert not path.exists()

    assert names(path) == ["a.csv"]
    assert names(path.parent) == ["dataset"]


def test_folder_and_its_files_are_for_their_owner_alone(tmp_path: Path) -> None:
    with whole_folder(tmp_path / "dataset") as fresh:
        (fresh / "a.csv").write_text("a")

    assert (mode(tmp_path / "dataset"), mode(tmp_path / "dataset" / "a.csv")) == (0o700, 0o600)


def test_folder_that_fails_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), whole_folder(tmp_path / "dataset") as fresh:  # noqa: PT012 -- it fails inside
        (fresh / "a.csv").write_text("half")
        raise ZeroDivisionError

    assert names(tmp_path) == []


def test_folder_takes_the_place_of_an_empty_one_and_of_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "dataset"
    path.mkdir()
    with whole_folder(path) as fresh:
        (fresh / "a.csv").write_text("a")

    with pytest.raises(InTheWay, match=r"must be free or empty; it has 'a\.csv'"), whole_folder(path):
        pass
    with pytest.raises(InTheWay, match="it is a file"), whole_folder(path / "a.csv"):
        pass

    assert (path / "a.csv").read_text() == "a"


def test_folder_is_replaced_if_it_holds_nothing_but_what_may_be(tmp_path: Path) -> None:
    path = tmp_path / "dataset"
    path.mkdir()
    (path / "a.csv").write_text("old")
    (path / "b.csv").write_text("old")

    with pytest.raises(InTheWay, match=r"nothing else; it has 'b\.csv'"), whole_folder(path, replaced=("a.csv",)):
        pass
    with whole_folder(path, replaced=("a.csv", "b.csv", "c.csv")) as fresh:
        (fresh / "a.csv").write_text("new")

    assert names(path) == ["a.csv"]
    assert (path / "a.csv").read_text() == "new"
    assert names(tmp_path) == ["dataset"]


def test_folder_that_cannot_be_put_in_place_leaves_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "dataset"
    path.mkdir()
    (path / "a.csv").write_text("old")

    with pytest.raises(FileNotFoundError), whole_folder(path, replaced=("a.csv",)) as fresh:  # noqa: PT012 -- it fails inside
        fresh.rename(fresh.with_name("gone"))
        fresh.with_name("new").symlink_to(tmp_path / "nowhere")

    assert (path / "a.csv").read_text() == "old"
    assert names(tmp_path) == ["dataset"]
