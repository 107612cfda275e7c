"""A board of a team: nothing is lost, no claim is held twice, whoever writes from wherever."""
import asyncio, json, subprocess, sys
from collections import Counter

import pytest
from places import child_env

from agentnb import Agent, Scripted, StoreError, ToolError, call
from agentnb.teams.board import Board, BoardConflict, board_rules, board_tools

WRITERS = """
import sys, threading
from agentnb.teams.board import Board, BoardConflict
url, process = sys.argv[1:]
board, won = Board(url, "race"), []
def write(n):
    who = f"p{process}.{n}"
    for task in range(5):
        try: won.append((board.claim(who, f"task {task}").task, who))
        except BoardConflict: pass
    board.post(who, f"note of {who}")
threads = [threading.Thread(target=write, args=(n,)) for n in range(25)]
for t in threads: t.start()
for t in threads: t.join()
print(len(won), sorted(task for task, _ in won))
"""


def race(url):
    "A hundred writers in four processes"
    pipes = dict(stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=child_env())
    started = [subprocess.Popen([sys.executable, "-c", WRITERS, url, str(p)], **pipes) for p in range(4)]
    said = [p.communicate(timeout=200) for p in started]
    assert all(p.returncode == 0 for p in started), said
    board = Board(url, "race")
    notes = board.notes()
    assert [n.number for n in notes] == list(range(1, len(notes) + 1))
    posts, claims = [n for n in notes if n.kind == "post"], Counter(n.task for n in notes if n.kind == "claim")
    assert len(posts) == len({n.who for n in posts}) == 100, "nothing is lost"
    assert claims == {f"task {i}": 1 for i in range(5)} and sum(int(out.split()[0]) for out, _ in said) == 5, "no claim twice"


def test_a_hundred_writers_on_sqlite(tmp_path): race(f"sqlite:///{tmp_path}/runs.db")
@pytest.mark.server
def test_a_hundred_writers_on_postgres(postgres_url): race(postgres_url)


def test_a_claim_is_held_until_it_is_given_back_or_finished():
    board = Board("memory:", "b1")
    board.claim("ann", "x")
    assert board.claim("ann", "x").who == "ann", "who has it may ask again"
    for act in (board.claim, board.give_back, board.finish):
        with pytest.raises(BoardConflict, match="ann"): act("bob", "x")
    board.give_back("ann", "x", "no time")
    board.claim("bob", "x")
    board.finish("bob", "x", "done")
    with pytest.raises(BoardConflict, match="finished, by bob: done"): board.claim("ann", "x")
    assert board.claims() == {}


def test_a_note_is_written_only_on_what_was_read():
    board = Board("memory:", "b2")
    assert board.post("ann", "one").number == 1 and board.post("bob", "two", expects=1).number == 2
    with pytest.raises(BoardConflict, match="came meanwhile, the last: 2. bob: two") as told: board.post("ann", "three", expects=1)
    assert [n.text for n in told.value.notes] == ["two"] and len(board.notes()) == 2


def test_a_conflict_is_a_result_that_the_model_reads_and_a_call_writes_once():
    board = Board("memory:", "b3")
    board.claim("ann", "x")
    script = [call("claim_task", task="x"), call("claim_task", task="y"), call("post_note", text="I do y"), call("read_board"), "ok"]
    run = Agent(Scripted(script), board_tools(board), store="memory:", policy=board_rules()).run("go", run_id="r1")
    asyncio.run(run.wait())
    failure, *results = [m.failure or m.content for m in run.tip.messages if m.role == "tool"]
    assert failure.kind == "conflict" and "claimed by ann" in failure.message
    assert json.loads(results[2])[-2:] == ["x is held by ann", "y is held by r1"]
    key = board.notes()[-1].key
    assert key and board.post("r1", "I do y", key=key) == board.notes()[-1] and len(board.notes()) == 3


def test_what_is_no_note_is_told():
    board = Board("memory:", "b4")
    board.store.keep("board b4", "000000001", "{", board.clock())
    with pytest.raises(StoreError, match="note 000000001 of the board b4"): board.notes()


def test_what_cannot_be_written_is_told_and_what_can_be_is_kept():
    board = Board("memory:", "b5")
    assert "\\ud800" in board.post("ann", "a\ud800b").text and board.post("ann", "a\0b").number == 2
    with pytest.raises(TypeError, match="task is text"): board.claim("ann", None)
    with pytest.raises(ToolError, match="no name"): board.claim("ann", " ")
    for expects in (-1, 99):
        with pytest.raises(ValueError, match="the board has 2 notes"): board.post("ann", "x", expects=expects)
    board.post("ann", "y" * 1_000_000)
    with pytest.raises(BoardConflict) as told: board.post("bob", "x", expects=2)
    assert len(str(told.value)) < 1000 and len(told.value.notes) == 1
