"""Logs and last words as files."""

from datetime import UTC, datetime

from kubelet_pods import pod

from bireme.kubelet import logs

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def test_a_log_is_moved_aside_once_it_is_long(tmp_path):
    log = tmp_path / "0.log"
    for number in range(8):
        log.write_text("x" * 100)
        moment = NOW.replace(second=number)
        assert logs.rotate(log, max_bytes=100, max_files=5, now=moment)
        assert not log.exists()
    kept = sorted(path.name for path in tmp_path.iterdir())
    assert len(kept) == 4
    assert kept[-1].startswith("0.log.20260101-000007")
    log.write_text("short")
    assert not logs.rotate(log, max_bytes=100, max_files=5, now=NOW)


def test_c18_no_link_is_followed(tmp_path):
    (tmp_path / "canary").write_text("secret" * 100)
    link = tmp_path / "0.log"
    link.symlink_to(tmp_path / "canary")
    assert logs.read_end(link, 100) == b""
    assert not logs.rotate(link, max_bytes=1, max_files=5, now=NOW)
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs/default_p_u-1").symlink_to(tmp_path)
    logs.remove_pod(tmp_path / "logs", "default_p_u-1")
    assert (tmp_path / "canary").exists()


def test_the_last_words_are_cut(tmp_path):
    path = tmp_path / "last"
    path.write_text("a" + "b" * 5000)
    assert logs.termination_message(path) == "b" * 4096
    assert logs.termination_message(tmp_path / "none") == ""


def test_the_end_of_a_log_without_its_marks(tmp_path):
    path = tmp_path / "0.log"
    path.write_text("".join(f"2026-01-01T00:00:00Z stdout F line {n}\n" for n in range(100)))
    text = logs.last_lines(path)
    assert text.endswith("line 98\nline 99")
    assert "stdout" not in text


def test_pods_that_have_logs_are_known_by_their_uid(tmp_path):
    folder = tmp_path / logs.pod_folder(pod())
    (folder / "c").mkdir(parents=True)
    assert logs.known(tmp_path) == ["u-1"]
    logs.remove_uid(tmp_path, "u-1")
    assert logs.known(tmp_path) == []
