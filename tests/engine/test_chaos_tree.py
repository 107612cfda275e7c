"""A short version of tests/helpers/chaos_tree.py: trees of runs on three levels, killed at random moments and resumed from the top."""
import os, subprocess, sys
from collections import Counter

from places import on_path


def harness(code):
    said = subprocess.run([sys.executable, "-c", f"{on_path()}import chaos; from chaos_tree import *; {code}"],
        capture_output=True, text=True, timeout=280, env=dict(os.environ, AGENTNB_OFFLINE="1"))
    assert said.returncode == 0, said.stderr[-3000:]
    return Counter(eval(said.stdout.splitlines()[-1], {"Counter": Counter}))


def test_trees_killed_at_random_on_sqlite():
    found = harness("print(found := at_random(files, 12, span=0.25)); assert not wrong(found), found")
    assert found["killed"] >= 12 and found["asked"] >= 2 * found["runs"]


def test_trees_killed_at_random_on_postgres(postgres_server):
    found = harness(f"print(found := at_random(databases({postgres_server!r}), 6, span=0.5)); assert not wrong(found), found")
    assert found["killed"] >= 6


def test_the_harness_is_not_blind():
    "Someone who always says `make it` makes it twice; a yes by a rule is no answer of a person"
    blind = "chaos.human = lambda run, folder: run.pending[0].approve()\n"
    assert harness(f"{blind}print(chaos.trial(files, ['after plain 11', 'after plain 22']))")["doubled"] == 2
    by_rule = "chaos.human = lambda run, folder: run.pending[0].approve(by='a rule')\n"
    assert harness(f"{by_rule}print(chaos.trial(files, []))")["unasked"] == 2
