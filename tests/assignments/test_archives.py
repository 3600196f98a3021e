"""What is in a download, and what is never followed, unpacked or believed."""

import io
import os
import stat
import sys
import unicodedata
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

import pytest

from vqvae_course.assignments import archives
from vqvae_course.assignments.archives import contents, members


def zipped(entries, path=None):
    """Return a zip, or write it; entries are (name or ZipInfo, bytes)."""
    file = io.BytesIO()
    with ZipFile(file, "w", ZIP_DEFLATED) as made:
        for name, data in entries:
            made.writestr(name, data)
    if path is not None:
        path.write_bytes(file.getvalue())
    return file.getvalue()


def unflagged(name: bytes) -> bytes:
    """Return a zip with one file whose name is these bytes, and no word about their encoding."""
    plain = zipped([("X" * len(name), b"{}")])
    return plain.replace(b"X" * len(name), name)


def read(archive):
    problems = []
    found = list(members(archive, problems))
    data = {member.path.as_posix(): content for member, content in contents(found, problems)}
    return found, data, problems


def test_zips_folders_and_zips_inside_are_read_alike(tmp_path):
    inner = zipped([("02_x.ipynb", b"inner"), ("a/03_y.ipynb", b"deep")])
    entries = [("alice/02_x.ipynb", b"one"), ("bob/work.zip", inner)]
    zipped(entries, tmp_path / "all.zip")
    folder = tmp_path / "all"
    (folder / "alice").mkdir(parents=True)
    (folder / "bob").mkdir()
    (folder / "alice" / "02_x.ipynb").write_bytes(b"one")
    (folder / "bob" / "work.zip").write_bytes(inner)
    expected = {
        "alice/02_x.ipynb": b"one",
        "bob/work.zip/02_x.ipynb": b"inner",
        "bob/work.zip/a/03_y.ipynb": b"deep",
    }
    for archive in (tmp_path / "all.zip", folder):
        _, data, problems = read(archive)
        assert data == expected
        assert problems == []


def test_a_zip_directly_in_a_folder_is_a_download_of_which_the_name_says_nothing(tmp_path):
    zipped([("alice/02_x.ipynb", b"one")], tmp_path / "submissions.zip")
    found, data, _ = read(tmp_path)
    assert data == {"alice/02_x.ipynb": b"one"}
    assert [(member.download, member.shown) for member in found] == [
        ("submissions", "submissions.zip/alice/02_x.ipynb")
    ]


def test_two_files_of_one_name_in_a_zip_are_two(tmp_path):
    with pytest.warns(UserWarning, match="Duplicate name"):
        zipped([("a/x.ipynb", b"one"), ("a/x.ipynb", b"two")], tmp_path / "x.zip")
    problems = []
    found = list(members(tmp_path / "x.zip", problems))
    assert [data for _, data in contents(found, problems)] == [b"one", b"two"]


def test_what_systems_leave_behind_is_passed_over(tmp_path):
    left = ("__MACOSX/alice/._02_x.ipynb", "alice/._02_x.ipynb", "alice/.DS_Store", "alice/Thumbs.db")
    left = (*left, "alice/.ipynb_checkpoints/02_x-checkpoint.ipynb", "alice/.git/config", "alice/__pycache__/x.pyc")
    zipped([(name, b"") for name in (*left, "alice/02_x.ipynb", ".alice/02_x.ipynb")], tmp_path / "x.zip")
    assert set(read(tmp_path / "x.zip")[1]) == {"alice/02_x.ipynb", ".alice/02_x.ipynb"}
    folder = tmp_path / "folder"
    for name in left:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"")
    assert read(folder)[1] == {}


@pytest.mark.parametrize(
    "name", ["../02_x.ipynb", "alice/../../02_x.ipynb", "/etc/02_x.ipynb", "C:\\x\\02_x.ipynb", ".."]
)
def test_a_name_that_leads_out_of_the_archive_is_an_error(tmp_path, name):
    zipped([(ZipInfo("x"), b"")], tmp_path / "x.zip")
    info = ZipInfo("x")
    info.filename = name
    zipped([(info, b"{}")], tmp_path / "x.zip")
    found, _, problems = read(tmp_path / "x.zip")
    assert found == []
    assert len(problems) == 1
    assert "leads out of it" in problems[0]


def test_windows_signs_between_folders_are_signs_between_folders(tmp_path):
    names = ("alice\\", "alice\\ps1\\", "alice\\ps1\\02_x.ipynb")
    infos = [ZipInfo("x") for _ in names]
    for info, name in zip(infos, names, strict=True):
        info.filename = name
    zipped([(info, b"") for info in infos], tmp_path / "x.zip")
    assert set(read(tmp_path / "x.zip")[1]) == {"alice/ps1/02_x.ipynb"}


@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_accents_are_read_whether_or_not_the_zip_names_its_encoding(tmp_path, form):
    name = unicodedata.normalize(form, "José Núñez/02_x.ipynb")
    zipped([(name, b"{}")], tmp_path / "flagged.zip")
    (tmp_path / "utf8.zip").write_bytes(unflagged(name.encode()))
    for archive in ("flagged.zip", "utf8.zip"):
        assert set(read(tmp_path / archive)[1]) == {"José Núñez/02_x.ipynb"}


def test_names_in_the_old_encoding_of_dos_are_read(tmp_path):
    (tmp_path / "x.zip").write_bytes(unflagged("José Núñez/02_x.ipynb".encode("cp437")))
    assert set(read(tmp_path / "x.zip")[1]) == {"José Núñez/02_x.ipynb"}


@pytest.mark.skipif(sys.platform == "win32", reason="links need rights there")
def test_links_are_seen_and_not_followed(tmp_path):
    secret = tmp_path / "secret"
    secret.mkdir()
    (secret / "02_x.ipynb").write_bytes(b"secret")
    folder = tmp_path / "folder"
    (folder / "alice").mkdir(parents=True)
    (folder / "alice" / "02_x.ipynb").symlink_to(secret / "02_x.ipynb")
    (folder / "bob").symlink_to(secret)
    problems = []
    assert [(member.path.as_posix(), member.link) for member in members(folder, problems)] == [
        ("bob", True),
        ("alice/02_x.ipynb", True),
    ]
    info = ZipInfo("alice/02_x.ipynb")
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    zipped([(info, os.fsencode(secret / "02_x.ipynb"))], tmp_path / "x.zip")
    assert [member.link for member in members(tmp_path / "x.zip", problems)] == [True]


# --- what cannot be read is an error, and the rest is read


def test_a_broken_zip_inside_is_named_and_the_others_are_read(tmp_path):
    zipped([("alice/a.zip", b"PK no"), ("bob/02_x.ipynb", b"{}")], tmp_path / "x.zip")
    _, data, problems = read(tmp_path / "x.zip")
    assert set(data) == {"bob/02_x.ipynb"}
    assert problems == [
        "x.zip/alice/a.zip cannot be unpacked (File is not a zip file): ask for it again, or unpack it into a folder"
    ]


def test_a_damaged_file_is_named(tmp_path):
    whole = bytearray(zipped([("alice/02_x.ipynb", bytes(range(256)))]))
    whole[60] ^= 0xFF
    (tmp_path / "x.zip").write_bytes(whole)
    _, data, problems = read(tmp_path / "x.zip")
    assert data == {}
    assert "x.zip/alice/02_x.ipynb cannot be read" in problems[0]


def test_a_file_that_only_a_password_opens_is_named(tmp_path):
    whole = bytearray(zipped([("alice/02_x.ipynb", b"{}")]))
    for place in (6, whole.index(b"PK\x01\x02") + 8):
        whole[place] |= 1
    (tmp_path / "x.zip").write_bytes(whole)
    assert "password" in read(tmp_path / "x.zip")[2][0]


def test_nothing_above_the_limit_is_unpacked(tmp_path, monkeypatch):
    monkeypatch.setattr(archives, "LIMIT", 2**20)
    bomb = bytes(2**20 + 1)
    inside = zipped([(f"{n}.txt", bytes(2**19)) for n in range(3)])
    zipped(
        [("a/02_x.ipynb", bomb), ("b/b.zip", zipped([("02_x.ipynb", bomb)])), ("c/c.zip", inside)], tmp_path / "x.zip"
    )
    _, data, problems = read(tmp_path / "x.zip")
    assert data == {}
    assert [problem.partition(" cannot")[0] for problem in problems] == [
        "x.zip/b/b.zip",
        "x.zip/c/c.zip",
        "x.zip/a/02_x.ipynb",
    ]
    assert all("must have at most 1 MB" in problem for problem in problems)
    (tmp_path / "02_x.ipynb").write_bytes(bomb)
    assert "must have at most 1 MB" in read(tmp_path / "02_x.ipynb")[2][0]


def test_a_zip_that_lies_about_its_size_is_not_unpacked(tmp_path, monkeypatch):
    monkeypatch.setattr(archives, "LIMIT", 2**20)
    data = bytes(2**22)
    whole = zipped([("a/02_x.ipynb", data)])
    (tmp_path / "x.zip").write_bytes(whole.replace(len(data).to_bytes(4, "little"), (10).to_bytes(4, "little")))
    _, data, problems = read(tmp_path / "x.zip")
    assert data == {}
    assert "cannot be read" in problems[0]


def test_a_name_that_no_disk_takes_is_an_error(tmp_path):
    zipped([("alice/" + "-" * 60_000 + ".ipynb", b"{}"), ("bob/02_x.ipynb", b"{}")], tmp_path / "x.zip")
    _, data, problems = read(tmp_path / "x.zip")
    assert set(data) == {"bob/02_x.ipynb"}
    assert "at most 255 signs" in problems[0]


def test_zips_in_zips_end_somewhere(tmp_path):
    data = b"{}"
    for _ in range(5):
        data = zipped([("x.zip", data)])
    zipped([("alice.zip", data)], tmp_path / "x.zip")
    _, _, problems = read(tmp_path / "x.zip")
    assert len(problems) == 1
    assert "is a zip in a zip in a zip: unpack it" in problems[0]


def test_what_is_no_archive_is_an_error(tmp_path):
    (tmp_path / "x.tar.gz").write_bytes(b"")
    (tmp_path / "x.zip").write_bytes(b"no")
    assert "must be a zip: unpack it" in read(tmp_path / "x.tar.gz")[2][0]
    assert "cannot be unpacked" in read(tmp_path / "x.zip")[2][0]
    assert "there is no" in read(tmp_path / "nowhere")[2][0]
