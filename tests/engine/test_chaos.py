"""A short version of tests/helpers/chaos.py: killed at every boundary and at random moments, on each database, and with the database killed."""
import os, subprocess, sys
from collections import Counter

from places import on_path


def harness(code):
    "In a process without threads, which can fork"
    said = subprocess.run([sys.executable, "-c", f"{on_path()}from chaos import *; {code}"],
        capture_output=True, text=True, timeout=280, env=dict(os.environ, AGENTNB_OFFLINE="1"))
    assert said.returncode == 0, said.stderr[-3000:]
    return Counter(eval(said.stdout.splitlines()[-1], {"Counter": Counter}))


def check(found, killed):
    print(found)
    assert not {k: n for k, n in found.items() if n and k in ("lost", "doubled", "missing", "failed", "unresumable")}, found
    assert found["killed"] >= killed


def test_killed_at_every_boundary_on_sqlite():
    found = harness("print(boundaries(files))")
    check(found, 45)
    assert found["asked"] == 9, "two calls that are not idempotent: killed before, in and after each, and where a reply and its intent are committed together"


def test_killed_at_random_moments_on_sqlite(): check(harness("print(at_random(files, 40))"), 40)


def test_killed_at_every_boundary_on_postgres(postgres_server):
    check(harness(f"print(boundaries(one_database({postgres_server!r})))"), 45)


def test_killed_at_random_moments_on_postgres(postgres_server):
    check(harness(f"print(at_random(databases({postgres_server!r}), 20, span=0.25))"), 20)


def test_the_database_is_killed_and_started_again(postgres_server, tmp_path):
    "A server of its own, in a folder that the user `postgres` can enter"
    code = "from postgres import Server; import tempfile, os; d = tempfile.mkdtemp(); os.chmod(d, 0o755); s = Server(d + '/pg').start()\ntry: " \
        "found = database_killed(s, 5)\nfinally: s.stop()\nprint(found)"
    check(harness(code), 5)


def test_the_harness_sees_a_doubled_effect():
    "A human who always says `make it` makes a payment twice: the count is not blind"
    found = harness("import chaos\nchaos.human = lambda run, folder: run.pending[0].approve()\n"
        "print(chaos.boundaries(chaos.files, ['after plain 1', 'after plain 2']))")
    assert found["doubled"] == found["asked"] == 2


def test_the_harness_sees_an_effect_that_never_happened():
    found = harness("import chaos\nchaos.human = lambda run, folder: run.pending[0].answer('done')\n"
        "print(chaos.boundaries(chaos.files, ['before plain 1', 'before plain 2']))")
    assert found["missing"] == 2


