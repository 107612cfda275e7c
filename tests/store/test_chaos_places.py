"""A short version of tests/helpers/chaos_places.py: the place of a store is taken away at random moments."""
import os, subprocess, sys
from collections import Counter

import pytest
from places import on_path

TROUBLES = "deleted all_deleted replaced emptied moved log_deleted folder_removed folder_renamed permission_taken disk_filled".split()
RIGHTS = ["rights taken", "schema closed", "table dropped", "read-only"]


def harness(code):
    "In a process without threads, which can fork"
    said = subprocess.run([sys.executable, "-c", f"{on_path()}from chaos_places import *; {code}"],
        capture_output=True, text=True, timeout=120, env=dict(os.environ, AGENTNB_OFFLINE="1"))
    assert said.returncode == 0, said.stderr[-3000:]
    return Counter(eval(said.stdout.splitlines()[-1], {"Counter": Counter})), said.stderr


def check(found, said):
    print(found)
    assert not {k: n for k, n in found.items() if n and k in ("lost", "doubled", "unended")}, (found, said)
    assert found["noticed"] + found["too_late"] and found["shown"]


@pytest.mark.parametrize("trouble", TROUBLES)
def test_no_step_that_was_shown_is_lost_when_the_file_is_taken(trouble): check(*harness(f"print(at_random({trouble}, 3))"))


@pytest.mark.parametrize("how", RIGHTS)
def test_no_step_that_was_shown_is_lost_when_a_role_loses_its_rights(postgres_server, how):
    check(*harness(f"print(rights_at_random({postgres_server!r}, {how!r}, 2))"))


def test_the_harness_sees_a_lost_step():
    "A store that does not look at its file loses steps without a word: the count is not blind"
    found, _ = harness("import chaos_places\nfrom agentnb.store.sqlite import SQLite\nSQLite._check_file = lambda self: None\n"
        "print(chaos_places.at_random(chaos_places.all_deleted, 4, seed=1))")
    assert found["lost"] > 9 and not found["noticed"], found
