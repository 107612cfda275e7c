"""The place of a store misbehaves: its file is deleted, replaced, copied or cannot be written; another process holds its lock."""
import asyncio, os, shutil, sqlite3, subprocess, sys, time
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from places import child_env

from agentnb import Agent, RunConflict, Scripted, StoreError, call, open_store, tool
from agentnb.run import Run
from agentnb.store.sqlite import file_problems


@tool(read_only=True)
async def look(n: int) -> str: return f"seen {n}"


def agent(place, replies=3): return Agent(Scripted([call("look", n=1), "done"] * replies), [look], store=place)


def deleted(folder): (folder/"runs.db").unlink()
def all_deleted(folder):
    for f in folder.glob("runs.db*"): f.unlink()
def moved(folder): (folder/"runs.db").rename(folder/"elsewhere.db")
def replaced(folder):
    Agent(Scripted(["x"]), store=folder/"other.db").run_sync("other")
    os.replace(folder/"other.db", folder/"runs.db")
def folder_gone(folder): shutil.rmtree(folder)
def folder_moved(folder): folder.rename(folder.with_name("renamed"))
def emptied(folder): os.truncate(folder/"runs.db", 0)
def log_deleted(folder): (folder/"runs.db-wal").unlink()
def log_replaced(folder):
    (folder/"runs.db-wal").unlink()
    (folder/"runs.db-wal").touch()


WAYS = [deleted, all_deleted, moved, replaced, folder_gone, folder_moved, emptied, log_deleted, log_replaced]


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_a_run_whose_file_is_gone_says_so_and_goes_on_in_another(tmp_path, way):
    folder = tmp_path/"d"
    folder.mkdir()
    mine = agent(folder/"runs.db")
    run = mine.run("go", run_id="r1")
    shown = [asyncio.run(run.step()) for _ in range(2)]
    way(folder)
    with pytest.raises(StoreError, match=r"while it was open here.*run.save_to\('rescued.db'\)") as e: asyncio.run(run.wait())
    assert e.value.kind == "gone" and run.steps[:2] == shown
    with pytest.raises(StoreError): mine.run_sync("another")
    saved = run.save_to(tmp_path/"rescued.db")
    assert asyncio.run(saved.wait()) == "done" and saved.store.url.endswith("rescued.db")
    assert open_store(tmp_path/"rescued.db").read("r1")[:2] == shown and open_store(tmp_path/"rescued.db").check() == []


@pytest.mark.parametrize("way", [w for w in WAYS if w is not emptied], ids=lambda way: way.__name__)
def test_all_runs_of_a_file_that_is_gone_are_written_to_another(tmp_path, way):
    folder = tmp_path/"d"
    folder.mkdir()
    mine = agent(folder/"runs.db")
    for i in range(3): mine.run_sync(f"run {i}")
    way(folder)
    copy = open_store(mine.store.backup(tmp_path/"all.db"))
    assert len(copy.runs()) == 3 and copy.check() == []


def test_a_paid_reply_that_only_the_lost_file_has_is_taken_along(tmp_path):
    mine = agent(tmp_path/"runs.db")
    run = mine.run("go", run_id="r1")
    asyncio.run(run.step())
    mine.store._check_file = lambda: deleted(tmp_path) or type(mine.store)._check_file(mine.store)
    with pytest.raises(StoreError): asyncio.run(run.step())
    saved = run.save_to(tmp_path/"rescued.db")
    assert len(run.steps) == 1 and saved.steps[0] == run.steps[0]


def test_a_file_that_is_put_back_is_gone_on_with(tmp_path):
    mine = agent(tmp_path/"runs.db")
    run = mine.run("go", run_id="r1")
    asyncio.run(run.step())
    moved(tmp_path)
    with pytest.raises(StoreError): asyncio.run(run.wait())
    (tmp_path/"elsewhere.db").rename(tmp_path/"runs.db")
    assert asyncio.run(run.wait()) == "done" and open_store(tmp_path/"runs.db").check() == []


def test_a_fork_is_saved_with_the_steps_it_shares(tmp_path):
    mine = agent(tmp_path/"runs.db")
    run = mine.run("go", run_id="r1")
    asyncio.run(run.wait())
    fork = run.fork(at=0)
    all_deleted(tmp_path)
    saved = fork.save_to(tmp_path/"rescued.db")
    assert asyncio.run(saved.wait()) == "done" and saved.tip.parent == fork.tip.parent
    run.save_to(tmp_path/"rescued.db")
    assert open_store(tmp_path/"rescued.db").read("r1") == run.steps


def test_a_run_that_went_on_elsewhere_is_not_written_over(tmp_path):
    first, second = agent(tmp_path/"a.db").run("one", run_id="r1"), agent(tmp_path/"b.db").run("two", run_id="r1")
    for run in (first, second): asyncio.run(run.wait())
    with pytest.raises(RunConflict, match="has a run r1 with other steps"): first.save_to(tmp_path/"b.db")


def test_a_file_is_whole_once_its_runs_rest(tmp_path):
    mine = agent(tmp_path/"runs.db", 30)
    for i in range(5): mine.run_sync(f"run {i}")
    shutil.copy(tmp_path/"runs.db", tmp_path/"copy.db")
    assert len(open_store(tmp_path/"copy.db").runs()) == 5
    run = mine.run("stepped", run_id="stepped")
    asyncio.run(run.step())
    for _ in range(100):
        if not (tmp_path/"runs.db-wal").stat().st_size: break
        time.sleep(0.02)
    shutil.copy(tmp_path/"runs.db", tmp_path/"stepped.db")
    assert "stepped" in open_store(tmp_path/"stepped.db").runs()


def test_a_long_run_moves_its_log_into_the_file_at_intervals(tmp_path, monkeypatch):
    monkeypatch.setattr("agentnb.store.sqlite._INTERVAL", 0.0)
    run = agent(tmp_path/"runs.db").run("go", run_id="r1")

    async def main():
        await run.step()
        shutil.copy(tmp_path/"runs.db", tmp_path/"copy.db")
    asyncio.run(main())
    assert len(open_store(tmp_path/"copy.db").read("r1")) == 1


def test_an_empty_file_beside_a_log_is_not_opened_and_its_log_not_deleted(tmp_path):
    mine = agent(tmp_path/"runs.db").run("go")

    async def main():
        await mine.step()
        shutil.copy(tmp_path/"runs.db-wal", tmp_path/"copy.db-wal")
    asyncio.run(main())
    for make in (lambda: None, (tmp_path/"copy.db").touch):
        make()
        with pytest.raises(StoreError, match="copy.db-wal beside it holds .* bytes.*agentnb store backup") as e: open_store(tmp_path/"copy.db")
        assert e.value.kind == "damaged" and (tmp_path/"copy.db-wal").stat().st_size and file_problems(str(tmp_path/"copy.db"))


def test_a_check_tells_of_the_log_of_another_file_and_of_a_file_without_its_log(tmp_path):
    first, second = (Agent(Scripted([*(call("look", n=i) for i in range(n)), "done"]), [look], store=tmp_path/f"{n}.db", max_iterations=n + 2) for n in (9, 60))
    first.run_sync("short")
    run = second.run("long")

    async def main():
        async for _ in run:
            if len(run.steps) == 1: (tmp_path/"bare.db").write_bytes((tmp_path/"60.db").read_bytes()[:1024])
            if len(run.steps) == 100: shutil.copy(tmp_path/"60.db-wal", tmp_path/"9.db-wal.other")
    asyncio.run(main())
    first.store.close()
    os.replace(tmp_path/"9.db-wal.other", tmp_path/"9.db-wal")
    assert "belongs to another file" in file_problems(str(tmp_path/"9.db"))[0]
    assert "there is no table in it" in file_problems(str(tmp_path/"bare.db"))[0]
    assert file_problems(str(tmp_path/"60.db")) == []


def test_a_backup_is_made_while_a_run_goes_on_and_overwrites_nothing(tmp_path):
    run = agent(tmp_path/"runs.db").run("go", run_id="r1")

    async def main():
        await run.step()
        run.store.backup(tmp_path/"sent.db")
        return await run
    assert asyncio.run(main()) == "done"
    assert len(open_store(f"{tmp_path}/sent.db?mode=ro").read("r1")) == 1
    before = (tmp_path/"sent.db").read_bytes()
    with pytest.raises(StoreError, match="is there already, and is not written over"): run.store.backup(tmp_path/"sent.db")
    assert (tmp_path/"sent.db").read_bytes() == before
    assert len(open_store(run.store.backup(tmp_path/"sent.db", replace=True)).read("r1")) == len(run.steps)


def test_what_is_opened_to_read_can_be_looked_at_and_not_gone_on_with(tmp_path):
    run = agent(tmp_path/"runs.db").run("go", run_id="r1")
    asyncio.run(run.until(kind="tool"))
    mine = agent(f"{tmp_path}/runs.db?mode=ro")
    seen = mine.load("r1")
    assert seen.steps == run.steps and "r1" in repr(seen) and mine.store.check() == [] and seen.diff(0, 1)
    acts = [lambda: asyncio.run(seen.step()), lambda: seen.fork(at=0), lambda: seen.edit(max_iterations=50), lambda: mine.run_sync("new"),
        lambda: mine.store.vacuum()]
    for act in acts:
        with pytest.raises(StoreError, match="can be looked at, compared and exported here, and not gone on with") as e: act()
        assert e.value.kind == "read-only"
    assert asyncio.run(seen.save_to(tmp_path/"mine.db").wait()) == "done"
    with pytest.raises(StoreError, match="there is no such file"): open_store(f"{tmp_path}/none.db?mode=ro")
    assert not (tmp_path/"none.db").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user, whom a mode stops")
def test_a_file_of_somebody_else_is_opened_to_read(tmp_path):
    import tempfile
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        agent(f"{folder}/runs.db").run_sync("go")
        os.chmod(f"{folder}/runs.db", 0o444)
        code = "import os\nfrom agentnb import Agent, Scripted, StoreError, open_store\n" \
            "Agent(Scripted(['x']), store='memory:').run_sync('warm')\nos.setgroups([])\nos.setgid(65534); os.setuid(65534)\n" \
            f"s = open_store('{folder}/runs.db'); print(s.read_only, len(s.runs()), s.check())\n" \
            f"try: Agent(Scripted(['x']), store=s).run_sync('more')\nexcept StoreError as e: print(e.kind)"
        for _ in range(2):
            said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd="/tmp", env=child_env())
            assert said.stdout.splitlines() == ["True 1 []", "read-only"], said
            for more in ("-wal", "-shm"): Path(f"{folder}/runs.db{more}").unlink(missing_ok=True)


def test_a_file_of_an_older_agentnb_is_read_without_changing_it(tmp_path):
    agent(tmp_path/"runs.db").run_sync("go")
    with sqlite3.connect(tmp_path/"runs.db") as db:
        db.executescript("DROP TABLE runs; DROP TABLE labels; DROP TABLE contents; DROP TABLE uses; PRAGMA user_version=3; PRAGMA wal_checkpoint(TRUNCATE)")
    before = (tmp_path/"runs.db").read_bytes()
    store = open_store(f"{tmp_path}/runs.db?mode=ro")
    assert len(store.runs()) == 1 and store.check() == [] and (tmp_path/"runs.db").read_bytes() == before
    with pytest.raises(StoreError): store.keep("a", "b", "c", datetime.now(UTC))


@pytest.mark.parametrize("query, says", [("?mode", "the option mode is ro or rw, not ''"), ("?mode=", "not ''"), ("?", "unknown option ''"), ("?readonly=1",
    "unknown option 'readonly'"),
    ("?synchronous=", "the option synchronous is normal or full"), ("?mode=r", "not 'r'"), ("?mode=ro&mode=rw", "is there twice"), ("?mode=ro;x",
        "not 'ro;x'"), ("?Mode=ro", "unknown option 'Mode'")])
def test_an_option_that_is_not_known_or_not_whole_is_refused_by_name(tmp_path, query, says):
    with pytest.raises(StoreError, match=says.replace("?", r"\?")): open_store(f"sqlite:///{tmp_path}/runs.db{query}")
    assert not list(tmp_path.iterdir())


def test_a_path_is_a_name(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    agent(tmp_path/"runs.db").run_sync("go")
    for place in ("runs.db", "./runs.db", "~/runs.db", "sqlite:///~/runs.db", "sqlite:///runs.db", "~/runs.db?mode=ro", tmp_path/"runs.db", Path("~/runs.db"),
        Path("runs.db")):
        assert len(open_store(place).runs()) == 1 and len(Agent(Scripted([]), store=place).store.runs()) == 1, place
    assert {f.name for f in tmp_path.iterdir()} <= {"runs.db", "runs.db-wal", "runs.db-shm"}
    for wrong in ("runs", "sqlite:runs.db", "sqlite://runs.db", "file:runs.db", ""):
        with pytest.raises(StoreError, match="no store"): open_store(wrong)


@pytest.mark.parametrize("runs", [1, 5])
def test_the_loop_goes_on_while_another_holds_the_lock(tmp_path, runs):
    mine = agent(tmp_path/"runs.db", 20)
    other = sqlite3.connect(tmp_path/"runs.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    gaps = []

    async def tick():
        while True:
            began = time.monotonic()
            await asyncio.sleep(0.005)
            gaps.append(time.monotonic() - began)

    async def main():
        ticking = asyncio.create_task(tick())
        asyncio.get_running_loop().call_later(0.5, other.execute, "COMMIT")
        await asyncio.gather(*(mine.run("go").wait() for _ in range(runs)))
        ticking.cancel()
    asyncio.run(main())
    assert len(mine.store.runs()) == runs and mine.store.check() == [] and len(gaps) > 40 and max(gaps) < 0.3


def test_times_of_any_zone_are_kept_as_utc_and_sort(store):
    mine, start = Agent(Scripted(["x"] * 9), store=store), datetime(2026, 5, 4, 12, 0, tzinfo=UTC)
    zones = [timezone(timedelta(hours=9)), UTC, timezone(-timedelta(hours=7)), None]
    for i, zone in enumerate(zones):
        mine.clock = lambda at=start + timedelta(minutes=i), zone=zone: at.astimezone(zone) if zone else at.astimezone().replace(tzinfo=None)
        asyncio.run(mine.run("go", run_id=f"r{i}").wait())
    assert store.runs() == ["r3", "r2", "r1", "r0"]
    assert all(h.at.utcoffset() == timedelta(0) for h in store.heads()) and [h.started_at.minute for h in store.heads()] == [3, 2, 1, 0]


def test_a_conversation_has_its_times_as_text():
    said, mine = [dict(role="user", content="a"), dict(role="assistant", content="b")], Agent(Scripted([]), store="memory:")
    run = Run.from_messages(said, mine, at=["2026-05-04T02:15:00Z", "2026-05-04T04:15:01+02:00"])
    assert [s.at for s in run.steps][:2] == [datetime(2026, 5, 4, 2, 15, s, tzinfo=UTC) for s in (0, 1)] and run.steps[1].at.tzinfo is UTC
    with pytest.raises(ValueError, match=r"at\[1\] is no time: 'yesterday'"): Run.from_messages(said, mine, at=["2026-05-04T02:15:00Z", "yesterday"])
