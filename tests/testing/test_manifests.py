"""What tests hand in, as objects."""

from pathlib import Path

import pytest

from bireme.testing.manifests import objects

ONE = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}}
TWO = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "b"}}
TEXT = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n---\n---\n" + str(TWO).replace("'", '"')


def test_trees_texts_files_folders_and_lists_give_their_objects_in_order(tmp_path: Path) -> None:
    (tmp_path / "2.json").write_text(str(TWO).replace("'", '"'))
    (tmp_path / "1.yaml").write_text("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n")
    (tmp_path / "notes.txt").write_text("no object")
    assert list(objects(ONE, [TWO])) == [ONE, TWO]
    assert list(objects(TEXT)) == [ONE, TWO]
    assert list(objects(tmp_path)) == [ONE, TWO]
    assert list(objects(str(tmp_path / "1.yaml"))) == [ONE]
    assert list(objects({"apiVersion": "v1", "kind": "List", "items": [ONE, TWO]})) == [ONE, TWO]


@pytest.mark.parametrize("what", [{"kind": "Pod"}, 3, "kind: Pod\n"])
def test_what_is_no_object_is_refused(what: object) -> None:
    with pytest.raises(ValueError, match=r"apiVersion and kind|no object"):
        list(objects(what))
