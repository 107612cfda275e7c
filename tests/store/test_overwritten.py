"""A database file that something else is written into while it is open: noticed at the next commit, and what was shown is kept."""
import asyncio, os, shutil, sqlite3, subprocess, sys, threading, time
from contextlib import closing
from datetime import UTC, datetime

import pytest
from agentnb import Agent, Scripted, StoreError, open_store
from agentnb.core.steps import Note, Started, Step
from agentnb.store.sqlite import SQLite, _held_by

AT = datetime(2026, 5, 4, tzinfo=UTC)


def started(run_id): return Step(run_id=run_id, index=0, at=AT, body=Started(task=f"task of {run_id}"))
def noted(run_id, index): return Step(run_id=run_id, index=index, at=AT, body=Note(about="late", text="x" * 900))


def begun(path, run_id, steps=20):
    store = SQLite(path)
    store.append(started(run_id))
    for n in range(1, steps): store.append(noted(run_id, n))
    return store


def by_cp(source, target): shutil.copyfile(source, target)
def by_write(source, target):
    content = open(source, "rb").read()
    with open(target, "r+b") as file:
        file.truncate(0)
        for at in range(0, len(content), 4096): file.write(content[at:at + 4096])
def by_part(source, target):
    with open(target, "r+b") as file: file.write(open(source, "rb").read())
def by_text(_, target):
    with open(target, "r+b") as file: file.write(b"no database at all, " * 500)


@pytest.mark.parametrize("how", [by_cp, by_write, by_part, by_text])
@pytest.mark.parametrize("moved", [False, True], ids=["in its log", "in the file"])
@pytest.mark.parametrize("again", [False, True], ids=["made here", "opened again"])
def test_other_content_in_the_same_file_is_noticed(tmp_path, how, moved, again):
    begun(tmp_path/"other.db", "b1").close()
    store = begun(tmp_path/"runs.db", "a1")
    if again:
        store.close()
        store = SQLite(tmp_path/"runs.db")
        if not moved: store.append(noted("a1", 20))
    if moved: store.checkpoint()
    how(tmp_path/"other.db", tmp_path/"runs.db")
    time.sleep(0.06)
    with pytest.raises(StoreError, match="something else was written into the file while it was open here") as said: store.append(started("a2"))
    assert said.value.kind == "gone" and "run.save_to" in str(said.value) and "store.backup" not in str(said.value)
    with pytest.raises(StoreError): store.append(started("a3"))
    there = open(tmp_path/"runs.db", "rb").read()
    store.close()
    assert open(tmp_path/"runs.db", "rb").read() == there, "what somebody put there is left as it is"


@pytest.mark.parametrize("newer", [False, True])
def test_another_state_of_the_same_store_is_noticed(tmp_path, newer):
    "An older copy that is brought back, and one that somebody went on with elsewhere"
    store = begun(tmp_path/"runs.db", "a1")
    store.keep("place", "name", "aabbcc", AT)
    store.checkpoint()
    shutil.copyfile(tmp_path/"runs.db", tmp_path/"copy.db")
    if newer: begun(tmp_path/"copy.db", "a2").close()
    else:
        for n in range(20, 60): store.append(noted("a1", n))
        store.checkpoint()
    shutil.copyfile(tmp_path/"copy.db", tmp_path/"runs.db")
    with pytest.raises(StoreError, match="something else was written into"):
        for n in range(60, 64): store.append(started(f"c{n}"))


def test_a_run_that_was_shown_is_saved_elsewhere(tmp_path):
    begun(tmp_path/"other.db", "b1").close()
    run = Agent(Scripted(["one"]), store=f"sqlite:///{tmp_path}/runs.db").run("go")
    asyncio.run(run.step())
    by_cp(tmp_path/"other.db", tmp_path/"runs.db")
    time.sleep(0.06)
    with pytest.raises(StoreError, match="something else was written"): asyncio.run(run.step())
    saved = run.save_to(tmp_path/"rescued.db")
    assert [s.kind for s in open_store(f"sqlite:///{tmp_path}/rescued.db").read(run.run_id)][0] == "started" and saved.run_id == run.run_id


WRITER = """
import sys
from agentnb.store.sqlite import SQLite
from datetime import UTC, datetime
from agentnb.core.steps import Note, Started, Step
at, (path, name) = datetime(2026, 5, 4, tzinfo=UTC), sys.argv[1:]
store = SQLite(path)
for r in range(40):
    store.append(Step(run_id=f"{name}{r}", index=0, at=at, body=Started(task="x" * 3000)))
    for n in range(1, 6): store.append(Step(run_id=f"{name}{r}", index=n, at=at, body=Note(about="late", text="y" * 2000)))
    if r % 3 == 0: store.checkpoint()
    if r % 7 == 5: store.remove(f"{name}{r - 2}", f"{name}{r}")
store.close()
"""


def test_others_who_write_move_delete_and_compact_are_no_alarm(tmp_path):
    "Two processes and two connections of this one, moving their logs into the file all the time"
    path = tmp_path/"runs.db"
    store, second = SQLite(path), SQLite(path)
    others = [subprocess.Popen([sys.executable, "-c", WRITER, str(path), name]) for name in "ab"]
    store.append(started("mine"))
    n = 0
    while any(o.poll() is None for o in others):
        for s in (store, second): s.append(noted("mine", n := n + 1))
        if n % 50 == 0: store.checkpoint()
        os.utime(path)
    assert [o.wait() for o in others] == [0, 0]
    store.vacuum()
    store.append(noted("mine", n + 1))
    with closing(sqlite3.connect(path)) as plain: plain.execute("DELETE FROM steps WHERE run_id = 'a1'").connection.commit()
    store.checkpoint()
    second.append(noted("mine", n + 2))
    assert len(store.read("mine")) == n + 3 and store.check() == []


def test_a_commit_looks_inside_only_when_the_file_was_written(tmp_path, monkeypatch):
    store, looks = begun(tmp_path/"runs.db", "a1"), []
    monkeypatch.setattr("agentnb.store.sqlite._held_by", lambda path: looks.append(path) or _held_by(path))
    for n in range(20, 220): store.append(noted("a1", n))
    assert not looks
    store.checkpoint()
    store.append(noted("a1", 220))
    assert 1 <= len(looks) <= 2


def test_a_file_that_is_read_halfway_is_looked_at_again(tmp_path, monkeypatch):
    store, wrong = begun(tmp_path/"runs.db", "a1"), [sqlite3.DatabaseError("malformed")] * 3
    def look(path):
        if wrong:
            os.utime(path)  # somebody still writes
            raise wrong.pop()
        return _held_by(path)
    monkeypatch.setattr("agentnb.store.sqlite._held_by", look)
    os.utime(tmp_path/"runs.db")
    store.append(noted("a1", 20))
    assert not wrong and threading.active_count() >= 1
