from collections.abc import Callable
from typing import Any

import pytest
from controller_objects import pod

from bireme.api.errors import NotFound
from bireme.api.kinds import core
from bireme.client.informer import Key, key_of
from bireme.controllers.own_writes import OwnWrites


class Cache:
    """As much of an informer as is asked for; `see` is news from the watch."""

    def __init__(self) -> None:
        self.objects: dict[Key, core.Pod] = {}

    def get(self, key: Key) -> core.Pod | None:
        return self.objects.get(key)

    def on_change(self, handler: Callable[[core.Pod | None, core.Pod | None], None], *, reads: int = 0) -> None:
        self.tell = handler

    def see(self, new: core.Pod | None, old: core.Pod | None = None) -> None:
        key = key_of(new or old or core.Pod())
        before = self.objects.pop(key, None)
        if new is not None:
            self.objects[key] = new
        self.tell(before, new)


def test_what_was_made_is_there_once_before_and_after_it_is_seen() -> None:
    cache = Cache()
    own = OwnWrites[core.Pod](cache)  # type: ignore[arg-type]
    own.made("rs", pod("a"), at=1.0)
    assert [item.metadata.name for item in own.laid_over("rs", [])] == ["a"]
    assert own.laid_over("other", []) == []
    assert own.waits("rs")
    cache.see(pod("a"))
    assert own.laid_over("rs", cache.objects.values()) == [pod("a")]
    assert not own.waits("rs")


def test_an_answer_that_comes_after_the_news_counts_nothing_twice() -> None:
    cache = Cache()
    own = OwnWrites[core.Pod](cache)  # type: ignore[arg-type]
    cache.see(pod("a"))
    own.made("rs", pod("a"), at=1.0)
    assert len(own.laid_over("rs", cache.objects.values())) == 1


def test_what_was_deleted_is_gone_until_the_news_comes() -> None:
    cache = Cache()
    own = OwnWrites[core.Pod](cache)  # type: ignore[arg-type]
    cache.see(pod("a"))
    own.deleted(pod("a"))
    assert own.laid_over("rs", cache.objects.values()) == []
    cache.see(pod("a", going=True))
    assert [item.metadata.deletion_timestamp != "" for item in own.laid_over("rs", cache.objects.values())] == [True]
    cache.see(None, pod("a"))
    assert own.laid_over("rs", cache.objects.values()) == []


def test_what_was_made_and_deleted_unseen_stays_gone_when_its_making_is_seen() -> None:
    cache = Cache()
    own = OwnWrites[core.Pod](cache)  # type: ignore[arg-type]
    own.made("rs", pod("a"), at=1.0)
    own.deleted(pod("a"))
    assert own.laid_over("rs", []) == []
    cache.see(pod("a"))
    assert own.laid_over("rs", cache.objects.values()) == []
    cache.see(None, pod("a"))
    assert not own.waits("rs")


def test_what_never_comes_back_can_be_looked_up_and_forgotten() -> None:
    cache = Cache()
    own = OwnWrites[core.Pod](cache)  # type: ignore[arg-type]
    own.made("rs", pod("a"), at=1.0)
    assert own.overdue("rs", before=1.0) == []
    (late,) = own.overdue("rs", before=2.0)
    own.forget(late)
    assert own.laid_over("rs", []) == []


@pytest.mark.parametrize(("there", "waits"), [(None, False), ("another", False), ("", True)])
async def test_what_is_overdue_is_looked_up(there: str | None, waits: bool) -> None:
    class Server:
        async def get(self, kind: type[Any], name: str, *, namespace: str) -> core.Pod:
            if there is None:
                raise NotFound("gone")
            found = pod(name)
            found.metadata.uid = there or found.metadata.uid
            return found

    own = OwnWrites[core.Pod](Cache())  # type: ignore[arg-type]
    own.made("rs", pod("a"), at=1.0)
    await own.look_up(Server(), "rs", before=1.0)  # type: ignore[arg-type]
    assert own.waits("rs")
    await own.look_up(Server(), "rs", before=2.0)  # type: ignore[arg-type]
    assert own.waits("rs") == waits


def test_what_was_deleted_and_shows_still_is_told() -> None:
    cache = Cache()
    own = OwnWrites[core.Pod](cache)  # type: ignore[arg-type]
    cache.see(pod("a"))
    own.made("rs", pod("b"), at=1.0)
    own.deleted(pod("a"))
    own.deleted(pod("b"))
    assert [item.metadata.name for item in own.hidden("rs", cache.objects.values())] == ["a", "b"]
    cache.see(pod("a", going=True))
    assert own.hidden("rs", [*cache.objects.values(), pod("c")]) == [pod("b")]
