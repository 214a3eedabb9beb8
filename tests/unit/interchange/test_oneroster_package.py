"""A package that is broken as a whole is refused when it is opened, and the message says what to do."""

from __future__ import annotations

import shutil
import warnings
import zipfile
from contextlib import suppress
from itertools import chain
from pathlib import Path
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger.errors import InvalidInput
from ledger.interchange.oneroster import PackageError, RowError, archive, open_package
from tests.support.oneroster import tiny_school, to_csv, write_package

EXAMPLE = Path(__file__).parents[3] / "examples" / "oulad-aaa-2013j-oneroster-1.2.zip"


@pytest.fixture(name="zip_path")
def _zip_path(tmp_path: Path) -> Path:
    return tmp_path / "school.zip"


def refusal(path: Path) -> PackageError:
    with pytest.raises(PackageError) as caught, open_package(path):
        pass
    assert caught.value.help, "every refusal says what to do"
    return caught.value


def add_member(path: Path, name: str, data: bytes = b"") -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as package:
            package.writestr(name, data)
    return path


def test_the_tiny_school_opens(zip_path: Path) -> None:
    with open_package(write_package(zip_path)) as package:
        assert package.source == "tests"
        assert package.row_counts["users.csv"] == 3


def test_a_refused_package_is_invalid_input(zip_path: Path) -> None:
    assert issubclass(PackageError, InvalidInput)
    assert "no such file" in str(refusal(zip_path))


def test_a_folder_is_not_a_package(tmp_path: Path) -> None:
    assert "cannot be read" in str(refusal(tmp_path))


def test_what_is_not_a_zip_is_refused(zip_path: Path) -> None:
    zip_path.write_text("sourcedId,status\n")

    assert "not a zip file" in str(refusal(zip_path))


def test_a_cut_off_zip_is_refused(zip_path: Path) -> None:
    zip_path.write_bytes(EXAMPLE.read_bytes()[:-40])

    assert "cut off" in str(refusal(zip_path))


def test_damage_inside_a_member_is_found_before_the_first_row(zip_path: Path) -> None:
    shutil.copyfile(EXAMPLE, zip_path)
    with zipfile.ZipFile(zip_path) as package:
        at = package.getinfo("results.csv").header_offset + 10_000
    data = bytearray(zip_path.read_bytes())
    data[at : at + 8] = b"\0" * 8
    zip_path.write_bytes(data)

    assert "results.csv: the zip is damaged" in str(refusal(zip_path))


@settings(deadline=None, max_examples=200)
@given(changes=st.lists(st.tuples(st.integers(0, 2**32), st.integers(0, 255)), min_size=1, max_size=8), cut=st.data())
def test_no_damage_ends_in_anything_but_a_refusal(
    tmp_path_factory: pytest.TempPathFactory, changes: list[tuple[int, int]], cut: st.DataObject
) -> None:
    path = write_package(tmp_path_factory.mktemp("damaged") / "school.zip")
    data = bytearray(path.read_bytes())
    for at, byte in changes:
        data[at % len(data)] = byte
    path.write_bytes(data[: cut.draw(st.integers(0, len(data)))] if cut.draw(st.booleans()) else data)

    with suppress(PackageError), open_package(path) as package:
        assert all(chain(package.users(), package.line_items(), package.results()))


def test_an_encrypted_zip_is_refused(zip_path: Path) -> None:
    write_package(zip_path)
    data = bytearray(zip_path.read_bytes())
    central = data.index(b"PK\x01\x02")
    data[central + 8] |= 0x1
    zip_path.write_bytes(data)

    assert "encrypted" in str(refusal(zip_path))


def test_an_unusual_compression_is_refused(zip_path: Path) -> None:
    write_package(zip_path)
    with zipfile.ZipFile(zip_path, "a", zipfile.ZIP_BZIP2) as package:
        package.writestr("resources.csv", b"sourcedId\n")

    assert "compression" in str(refusal(zip_path))


def test_a_zip_bomb_is_refused_by_its_ratio(zip_path: Path) -> None:
    add_member(write_package(zip_path), "demographics.csv", b"\0" * 3 * 1024**2)

    assert "zip bomb" in str(refusal(zip_path))


@pytest.mark.parametrize(("limit", "words"), [("MAX_MEMBER_BYTES", "unpacked"), ("MAX_TOTAL_BYTES", "unpack to more")])
def test_a_package_that_unpacks_to_too_much_is_refused(zip_path: Path, limit: str, words: str) -> None:
    write_package(zip_path)

    with patch.object(archive, limit, 300):
        assert words in str(refusal(zip_path))


def test_a_zip_with_very_many_members_is_refused(zip_path: Path) -> None:
    write_package(zip_path)

    with patch.object(archive, "MAX_MEMBERS", 5):
        assert "at most 5" in str(refusal(zip_path))


def test_a_line_without_end_is_refused_and_not_read_into_memory(zip_path: Path) -> None:
    write_package(zip_path, orgs="sourcedId,name,type,identifier,parentSourcedId\nschool," + "x" * 2_000)

    with patch.object(archive, "MAX_LINE_BYTES", 1_000):
        assert "orgs.csv, line 2: the line is longer" in str(refusal(zip_path))


@pytest.mark.parametrize(
    "name", ["../users.csv", "/etc/passwd", "a/../../b.csv", "..\\users.csv", "C:users.csv", "a\nb"]
)
def test_a_member_name_that_leaves_the_package_is_refused(zip_path: Path, name: str) -> None:
    add_member(write_package(zip_path), name)

    assert "unsafe name" in str(refusal(zip_path))


@pytest.mark.parametrize("name", ["users.csv", "Users.CSV"])
def test_the_same_member_twice_is_refused(zip_path: Path, name: str) -> None:
    add_member(write_package(zip_path), name)

    assert "twice" in str(refusal(zip_path))


def test_foreign_members_are_left_alone(zip_path: Path) -> None:
    add_member(add_member(write_package(zip_path), "__MACOSX/"), "readme.txt", b"hello")

    with open_package(zip_path) as package:
        assert package.row_counts["results.csv"] == 3


def test_a_package_without_manifest_is_refused(tmp_path: Path) -> None:
    empty = add_member(tmp_path / "empty.zip", "readme.txt")
    folder = add_member(tmp_path / "folder.zip", "export/manifest.csv")

    assert "holds no manifest.csv" in str(refusal(empty))
    assert "pack the files themselves, not the folder" in str(refusal(folder))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"manifest.version": "2.0"}, "manifest.version must be 1.0"),
        ({"oneroster.version": "1.1"}, "oneroster.version must be 1.2"),
        ({"oneroster.version": None}, "oneroster.version must be 1.2"),
        ({"file.results": "delta"}, "only bulk packages are imported so far"),
        ({"file.results": "some"}, "unknown mode of results.csv"),
        ({"file.results": "absent"}, "calls results.csv absent, but the zip holds it"),
        ({"file.results": None}, "does not mention results.csv"),
        ({"file.demographics": "bulk"}, "calls demographics.csv bulk, but the zip does not hold it"),
        ({"source.systemCode": None, "source.systemName": None}, "--source"),
        ({"source.systemCode": "x" * 300}, "source is too long"),
    ],
)
def test_a_manifest_that_we_cannot_follow_is_refused(
    zip_path: Path, changes: dict[str, str | None], words: str
) -> None:
    assert words in str(refusal(write_package(zip_path, manifest=changes)))


@pytest.mark.parametrize(
    ("manifest", "words"),
    [
        (b"", "manifest.csv: the file is empty"),
        (b"name,value\n", "manifest.csv: missing column propertyName"),
        (b"propertyName,value\nmanifest.version\n", "manifest.csv, line 2: 1 cells"),
        (b"propertyName,value\na,1\na,2\n", "manifest.csv, line 3: 'a' stands there twice"),
    ],
)
def test_a_malformed_manifest_is_refused(zip_path: Path, manifest: bytes, words: str) -> None:
    assert words in str(refusal(write_package(zip_path, manifest=manifest)))


def test_the_systems_name_stands_in_for_its_code_and_the_caller_overrides_both(zip_path: Path) -> None:
    write_package(zip_path, manifest={"source.systemCode": None})

    with open_package(zip_path) as package:
        assert package.source == "Tests"
    with open_package(zip_path, source="school-1") as package:
        assert package.source == "school-1"


def test_users_without_roles_are_refused_because_nobody_would_be_a_student(zip_path: Path) -> None:
    assert "roles.csv" in str(refusal(write_package(zip_path, roles=None)))


def test_an_absent_file_gives_no_rows(zip_path: Path) -> None:
    with open_package(write_package(zip_path, results=None)) as package:
        assert list(package.results()) == []
        assert "results.csv" not in package.row_counts


@pytest.mark.parametrize("file", sorted(tiny_school()))
def test_a_missing_column_is_named_with_its_file(zip_path: Path, file: str) -> None:
    header, *rows = to_csv(file, tiny_school()[file]).decode().splitlines(keepends=True)
    content = {file: header.replace("sourcedId", "sourcedID", 1) + "".join(rows)}
    write_package(zip_path, manifest=None, **content)

    assert f"{file}.csv: missing column sourcedId." in str(refusal(zip_path))


@pytest.mark.parametrize(
    ("orgs", "words"),
    [
        (b"", "orgs.csv: the file is empty"),
        (b"sourcedId;name;type;identifier;parentSourcedId\n", "by commas, not by semicolons"),
        (b"sourcedId,name,type,identifier,parentSourcedId,name\n", "column name stands there twice"),
        (
            "sourcedId,name,type,identifier,parentSourcedId\r\ns,Школа,,,\r\n".encode("cp1251"),
            "orgs.csv, line 2: the text",
        ),
        ("sourcedId,name\r\n".encode("utf-16"), "orgs.csv, line 1: the text is not UTF-8"),
        (b'sourcedId,name,type,identifier,parentSourcedId\na,"b"c,d,,\n', "begins in line 2 is not valid CSV"),
        (b'sourcedId,name,type,identifier,parentSourcedId\na,b,c,,\nd,"e,f,,\n', "begins in line 3 is not valid CSV"),
        (b"sourcedId,name,type,identifier,parentSourcedId\ra,b,c,,\r", "not valid CSV"),
    ],
)
def test_a_file_whose_rows_cannot_be_told_apart_is_refused(zip_path: Path, orgs: bytes, words: str) -> None:
    assert words in str(refusal(write_package(zip_path, orgs=orgs)))


def test_a_refused_package_is_closed_again(zip_path: Path) -> None:
    refusal(write_package(zip_path, orgs=b""))

    zip_path.unlink()
    with open_package(write_package(zip_path)) as package:
        assert not any(isinstance(org, RowError) for org in package.orgs())
