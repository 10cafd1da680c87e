"""Calls that must not be given up half-way, and what is left when a caller was killed."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from bireme.runtime import cri
from bireme.runtime.interface import RuntimeFault


async def test_a_call_that_makes_something_is_waited_for_even_when_cancelled() -> None:
    done: list[str] = []
    begun, go = asyncio.Event(), asyncio.Event()

    async def call() -> str:
        begun.set()
        await go.wait()
        done.append("made")
        return "id"

    async with asyncio.TaskGroup() as tasks:
        caller = tasks.create_task(cri._whole(call()))
        await begun.wait()
        caller.cancel()
        await asyncio.sleep(0)
        assert not caller.done()
        go.set()
        await asyncio.wait([caller])
        assert caller.cancelled()
    assert done == ["made"]


async def test_a_task_that_the_engine_takes_for_ended_is_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = tmp_path / "said"
    control = tmp_path / "ctr"
    control.write_text(f'#!/bin/sh\necho "$@" > {record}\n')
    control.chmod(0o755)
    runtime = cri.CriRuntime("/run/x.sock", control=str(control))
    answers: list[Any] = [RuntimeFault("failed to delete: cannot delete running task c1: failed precondition"), None]

    async def answer(call: Any) -> None:
        result = answers.pop(0)
        if result is not None:
            raise result

    monkeypatch.setattr(cri, "_gone_is_well", answer)
    monkeypatch.setattr(runtime, "_runtime", type("Stub", (), {"RemoveContainer": lambda *_, **__: None})())
    await runtime.remove_container("c1")
    assert record.read_text().split() == [
        "--address",
        "/run/x.sock",
        "-n",
        "k8s.io",
        "tasks",
        "delete",
        "--force",
        "c1",
    ]
    assert answers == []
    await runtime.close()
