"""The scripts of Visdom's page: by checksum, complete or not at all, and a way out where they cannot be had."""

import hashlib
import os
import stat
import tarfile
from pathlib import Path

import pytest

from coopcut.monitors.visdom import assets
from coopcut.monitors.visdom.assets import ASSETS, Asset, complete, fetch, find_assets
from coopcut.util.errors import UserError

SOUND = b"/* sound */"
ONE = Asset("pack@1.0.0", "dist/a.js", "js/a.js", hashlib.sha256(SOUND).hexdigest())


@pytest.fixture
def npm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A stand-in for npm that packs the folder `package` beside it; returns that folder."""
    folder = tmp_path / "bin"
    (folder / "package" / "dist").mkdir(parents=True)
    (folder / "package" / "dist" / "a.js").write_bytes(SOUND)
    script = folder / "npm"
    script.write_text(f'#!/bin/sh\ncd "{folder}" && tar czf "$5/pack-1.0.0.tgz" package\n')
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr(assets, "ASSETS", (ONE,))
    monkeypatch.setattr(assets, "_stock_download", lambda: None)
    return folder / "package"


def test_the_list() -> None:
    assert len(ASSETS) == 17
    assert len({asset.target for asset in ASSETS}) == 17
    for asset in ASSETS:
        assert len(asset.sha256) == 64
        assert asset.package.count("@") == 1
        assert not asset.target.startswith(("/", "."))
    assert {"js/plotly-plotly.min.js", "js/react-react.min.js", "css/bootstrap.min.css"} <= {a.target for a in ASSETS}


def test_fetch_and_find(tmp_path: Path, npm: Path) -> None:
    folder = tmp_path / "cache" / "assets"
    assert not complete(folder)
    assert find_assets(folder) == folder
    assert (folder / "js" / "a.js").read_bytes() == SOUND
    assert os.listdir(folder.parent) == ["assets"]
    (npm.parent / "npm").unlink()
    assert find_assets(folder) == folder  # no npm is asked any more


def test_a_damaged_file_is_loaded_again(tmp_path: Path, npm: Path) -> None:
    folder = tmp_path / "assets"
    fetch(folder)
    (folder / "js" / "a.js").write_bytes(b"cut sho")
    assert not complete(folder)
    find_assets(folder)
    assert complete(folder)


def test_what_else_is_in_the_folder_stays(tmp_path: Path, npm: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "precious.txt").write_text("precious")
    find_assets(tmp_path / "mine")
    assert sorted(os.listdir(tmp_path / "mine")) == ["js", "precious.txt"]


def test_another_content_is_not_used(tmp_path: Path, npm: Path) -> None:
    (npm / "dist" / "a.js").write_bytes(b"evil()")
    with pytest.raises(UserError, match=r"dist/a.js of pack@1.0.0 is not what it was: its checksum differs"):
        fetch(tmp_path / "assets")
    assert not (tmp_path / "assets").exists()
    assert sorted(os.listdir(tmp_path)) == ["bin"]


def test_a_package_without_the_file(tmp_path: Path, npm: Path) -> None:
    (npm / "dist" / "a.js").rename(npm / "dist" / "b.js")
    with pytest.raises(UserError, match=r"pack@1.0.0 from npm lacks dist/a.js"):
        fetch(tmp_path / "assets")
    assert sorted(os.listdir(tmp_path)) == ["bin"]


def test_when_they_cannot_be_had_it_says_what_to_do(tmp_path: Path, npm: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (npm.parent / "npm").write_text("#!/bin/sh\necho 'npm error network down' >&2\nexit 1\n")
    with pytest.raises(UserError, match=r"network down.*Install npm, or copy .*assets from a machine"):
        find_assets(tmp_path / "assets")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match="npm is not installed"):
        find_assets(tmp_path / "assets")
    monkeypatch.setattr(assets, "_stock_download", lambda: tmp_path / "visdom")
    assert find_assets(tmp_path / "assets") == tmp_path / "visdom"  # Visdom's own way, from the internet


def test_the_cache_is_outside_the_project(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert assets.cache_folder() == tmp_path / "coopcut" / "visdom-assets"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert assets.cache_folder().is_relative_to(Path.home() / ".cache")
    assert tarfile  # the archives are only read: nothing in them is run
