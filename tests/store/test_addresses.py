"""The password of a database is never shown: whatever its address looks like, in all that a session says."""
import io, logging, subprocess, sys, traceback

import pytest
from places import child_env

from agentnb import Agent, Scripted, StoreError, open_store
from agentnb.store.postgres import checked_address, shown_address, without_secrets

S = "s3cr3tW"
FORMS = {"plain": f"postgresql://ann:{S}@127.0.0.1:1/db", "encoded": f"postgresql://ann:{S}%40%2F@127.0.0.1:1/db",
    "in the query": f"postgresql://127.0.0.1:1/db?user=ann&password={S}",
    "socket": f"postgresql:///db?host=/nowhere&password={S}", "key's password": f"postgresql://127.0.0.1:1/db?sslpassword={S}&sslmode=disable",
        "at sign": f"postgresql://ann:p@{S}@127.0.0.1:1/db",
    "slash": f"postgresql://ann:{S}/x@127.0.0.1:1/db", "percent": f"postgresql://ann:{S}%zz@127.0.0.1:1/db",
        "nought": f"postgresql://ann:{S}%00@127.0.0.1:1/db",
    "question mark": f"postgresql://ann:a?{S}@127.0.0.1:1/db", "number sign": f"postgresql://ann:{S}#x@127.0.0.1:1/db",
        "colon": f"postgresql://ann:x:{S}@127.0.0.1:1/db",
    "both": f"postgresql://ann:x@{S}?y@127.0.0.1:1/db?sslmode=disable", "SQLAlchemy's": f"postgresql+psycopg://ann:{S}@127.0.0.1:1/db",
        "words": f"host=127.0.0.1 port=1 user=ann password={S}",
    "quoted words": f"host=127.0.0.1 port=1 password = 'a {S}' user=ann", "open quote": f"host=127.0.0.1 port=1 password='a {S}",
        "mistyped": f"postgressql://ann:{S}@127.0.0.1:1/db",
    "another database": f"mysql://ann:{S}@127.0.0.1/db", "one slash": f"postgresql:/ann:{S}@127.0.0.1/db", "no slash": f"postgres:ann:{S}@127.0.0.1",
        "no host": f"postgresql://ann:{S}/db",
    "hidden name": f"postgresql://127.0.0.1:1/db?pass%77ord={S}", "unknown name": f"postgresql://127.0.0.1:1/db?passwort={S}&user=ann",
        "capitals": f"PostgreSQL://ann:{S}@127.0.0.1:1/db",
    "semicolon": f"postgresql://127.0.0.1:1/db?user=ann;password={S}", "no value": f"postgresql://127.0.0.1:1/db?{S}",
        "as a file": f"sqlite://ann:{S}@127.0.0.1/db", "bytes": f"postgresql://ann:{S}@h/db".encode()}


@pytest.mark.parametrize("form", FORMS)
def test_no_error_shows_the_password(form, caplog, capsys, recwarn):
    caplog.set_level(logging.DEBUG)
    said = io.StringIO()
    for act in (lambda: open_store(FORMS[form]), lambda: Agent(Scripted([]), store=FORMS[form])):
        try: act()
        except (StoreError, TypeError):
            said.write(traceback.format_exc())
            said.write(str(sys.exc_info()[1].__cause__))
        except AttributeError:
            if form != "bytes": raise
        else: assert form == "bytes"
    shown = said.getvalue() + caplog.text + "".join(capsys.readouterr()) + " ".join(str(w.message) for w in recwarn)
    assert S not in shown, shown
    if form != "bytes": assert said.getvalue() and S not in shown_address(FORMS[form])


@pytest.mark.parametrize("form", ["at sign", "slash", "percent", "question mark", "number sign", "both"])
def test_an_address_that_can_be_read_in_two_ways_says_what_to_encode(form):
    with pytest.raises(StoreError, match="Percent-encode what is special.*@ is %40"): checked_address(FORMS[form])


@pytest.mark.parametrize("address, shown", [("postgresql://ann:x@db:5432/runs?sslmode=require", "postgresql://ann@db:5432/runs?sslmode=require"),
    ("postgresql:///runs", "postgresql:///runs"),
    ("postgresql://ann@db/runs", "postgresql://ann@db/runs"), ("host=db dbname=runs user=ann", "host=db dbname=runs user=ann"), ("postgresql://a,b:5433/runs",
        "postgresql://a,b:5433/runs"),
    ("postgresql://ann:x@[::1]:5432/runs", "postgresql://ann@[::1]:5432/runs"), ("postgresql://db/runs?user=ann@corp&password=x",
        "postgresql://db/runs?user=ann@corp")])
def test_what_is_harmless_is_shown(address, shown):
    assert shown_address(address) == shown and checked_address(address).partition("://")[2] == address.partition("://")[2]


def test_what_a_driver_says_is_searched_for_the_password():
    assert without_secrets("role 'a b' or a%20b may not", "postgresql://x:a%20b@h/d") == "role '***' or *** may not"
    assert without_secrets("password pw, spawn", "password=pw host=h") == "password ***, spawn"


SESSION = """
import logging, sys, traceback, asyncio, warnings
logging.basicConfig(level=logging.DEBUG)
url = sys.stdin.readline().strip()
from agentnb import Agent, Scripted, StoreError, open_store
from agentnb.host.settings import load_settings
for act in (lambda: open_store(url), lambda: Agent(Scripted(["a"]), store=url),

        lambda: load_settings(environ={"AGENTNB_STORE": url, "AGENTNB_MAX_ITERATIONS": "x"})):
    try:
        made = act()
        print(repr(made), getattr(made, "url", ""))
        if hasattr(made, "run_sync"):
            run = made.run("go")
            print(asyncio.run(run.wait()), repr(run), run._repr_html_(), made._repr_html_(), made.store)
            made.store._run(("DROP TABLE steps", ()))
            made.run_sync("again")
    except Exception as e:
        traceback.print_exc()
        print(repr(e), e.args, vars(e), e.__cause__)
"""


def test_a_session_with_eight_forms_of_address_says_no_password(postgres_server):
    "A role with a password, in each form that reaches the server, and in each that does not; every line that is printed, logged or warned is searched"
    import psycopg
    from psycopg import sql
    secret = "pw/Q@7:x%?z"
    coded = "".join(c if c.isalnum() else f"%{ord(c):02X}" for c in secret)
    with psycopg.connect(postgres_server, autocommit=True) as db:
        db.execute("DROP DATABASE IF EXISTS secrets_kept")
        db.execute("CREATE DATABASE secrets_kept")
        db.execute("DROP ROLE IF EXISTS annkept")
        db.execute(sql.SQL("CREATE ROLE annkept LOGIN SUPERUSER PASSWORD {}").format(secret))
    host = postgres_server.partition("@")[2].partition("/")[0]
    name, _, port = host.partition(":")
    forms = [f"postgresql://annkept:{coded}@{host}/secrets_kept", f"postgresql+psycopg://annkept:{coded}@{host}/secrets_kept", f"postgres://{host}/secrets_kept?user=annkept&password={coded}",
        f"host={name} port={port} user=annkept dbname=secrets_kept password='{secret}'", f"postgresql:///secrets_kept?host={name}&port={port}&user=annkept&password={coded}&sslpassword={coded}",
        f"postgresql://annkept:{secret}@{host}/secrets_kept", f"postgressql://annkept:{secret}@{host}/secrets_kept", f"postgresql://annkept:{coded}@{name}:1/secrets_kept"]
    reached = 0
    for url in forms:
        with psycopg.connect(postgres_server.rpartition("/")[0] + "/secrets_kept", autocommit=True) as db: db.execute("DROP SCHEMA IF EXISTS agentnb CASCADE")
        ran = subprocess.run([sys.executable, "-c", SESSION], input=url + "\n", capture_output=True, text=True, env=child_env())
        shown = ran.stdout + ran.stderr
        assert not [part for part in (secret, coded, "Q@7", "Q%407", "7:x", "x%?z", "pw/Q") if part in shown], (url, shown)
        assert "StoreError" in shown, shown
        reached += "done" in ran.stdout
    assert reached == 5
