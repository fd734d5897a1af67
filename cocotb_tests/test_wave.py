"""Waveforms on their way to where they belong, without a simulation."""

import os
import threading

import pytest

from hw.spec.config import load
from scin.errors import HangError, InputError
from scin.host.wave import Waveform, is_whole

CONFIG = load("tiny")
CONTENT = b"$version x $end\n#0\n0!\n#1\n"


def block(kind, content):
    return bytes([kind]) + (len(content) + 8).to_bytes(8, "big") + content


FST = block(0, bytes(321)) + block(8, b"values") + block(4, b"names")


def recorded(path, content=CONTENT, error=None):
    with Waveform(str(path), CONFIG) as waveform:
        waveform.scratch.write_bytes(content)
        if error is not None:
            raise error
    return waveform


def test_takes_its_place_when_whole(tmp_path):
    path = tmp_path / "run.vcd"
    path.write_text("before")
    path.chmod(0o640)
    waveform = recorded(path)
    assert path.read_bytes() == CONTENT
    assert path.stat().st_mode & 0o777 == 0o640
    assert f'"{path}"' in waveform.save_file.read_text()
    assert sorted(item.name for item in tmp_path.iterdir()) == ["run.gtkw", "run.vcd"]


def test_link_to_another_folder(tmp_path):
    there = tmp_path / "there"
    there.mkdir()
    link = tmp_path / "run.vcd"
    link.symlink_to(there / "real.vcd")
    recorded(link)
    assert link.is_symlink()
    assert (there / "real.vcd").read_bytes() == CONTENT
    assert not [path for path in there.iterdir() if path.name.startswith(".")]


def test_kept_after_a_failure_and_not_after_an_interruption(tmp_path):
    """What a hang has recorded is what one wants to look at."""
    path = tmp_path / "run.vcd"
    with pytest.raises(HangError):
        recorded(path, error=HangError("waited"))
    assert path.read_bytes() == CONTENT
    path.unlink()
    with pytest.raises(KeyboardInterrupt):
        recorded(path, error=KeyboardInterrupt())
    assert not path.exists()
    assert [item.name for item in tmp_path.iterdir()] == ["run.gtkw"]


def test_pipe(tmp_path):
    pipe, received = tmp_path / "pipe", []
    os.mkfifo(pipe)
    reader = threading.Thread(target=lambda: received.append(pipe.read_bytes()), daemon=True)
    reader.start()
    waveform = recorded(pipe)
    reader.join(10)
    assert received == [CONTENT]
    assert not waveform.ordinary
    assert not waveform.scratch.exists()


def test_cut_by_a_full_disk(tmp_path):
    path = tmp_path / "run.vcd"
    with pytest.raises(InputError, match="could not be written to its end"):
        recorded(path, CONTENT[:-1])
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("length", [0, 5, 330, len(FST) - 1])
def test_fst_is_whole_to_its_last_block(tmp_path, length):
    path = tmp_path / "x.fst"
    path.write_bytes(FST)
    assert is_whole(path)
    path.write_bytes(FST[:length])
    assert not is_whole(path)


def test_fst_without_its_headers(tmp_path, monkeypatch):
    """VCD beside it, and the reason can be told."""
    monkeypatch.setattr("scin.host.wave.fst_headers_present", lambda: False)
    waveform = recorded(tmp_path / "run.fst")
    assert waveform.lacks_fst
    assert (tmp_path / "run.vcd").read_bytes() == CONTENT
    assert not (tmp_path / "run.fst").exists()
