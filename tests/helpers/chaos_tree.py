"""Trees of runs that are killed and resumed from the top: `python tests/helpers/chaos_tree.py --kills 100`, with `--postgres` on a server of its own.

A boss calls two leads side by side, each of which calls a worker: five runs on three levels. Leads and workers act, with keys and without, and
each worker asks a person first. What is counted is what `chaos.py` counts, and besides: runs that were begun twice or are left over, and
questions that were not asked, or of which the answer was lost.
"""
import argparse, json, os, sys, tempfile
from collections import Counter
from pathlib import Path

import chaos
from chaos import at_random, databases, files
from agentnb import Agent, Rule, Scripted, call, open_store

chaos.EFFECTS = {f"{name} {n}" for name in ("keyed", "plain") for n in (11, 12, 21, 22)}
RUNS, QUESTIONS = 5, 2
_tools_of, _human, _verdict = chaos.agent, chaos.human, chaos.verdict


def tree(store, folder, moment="", pause=0.0):
    "The boss of one tree"
    base = _tools_of(store, folder, moment, pause)
    look, keyed, plain = base.tools.values()
    free, asks = [Rule(effect="allow")], [Rule(tool="plain", effect="ask"), Rule(effect="allow")]

    def worker(n): return Agent(Scripted([call("look", n=n), [call("keyed", n=n), call("plain", n=n)], "worked"]), [look, keyed, plain], name=f"worker{n}",
        store="memory:", policy=asks)

    def lead(n):
        script = [call(f"worker{n}1", task="work"), [call("keyed", n=10 * n + 2), call("plain", n=10 * n + 2)], "led"]
        return Agent(Scripted(script), [worker(10 * n + 1).as_tool("Work"), keyed, plain], name=f"lead{n}", store="memory:", policy=free)
    script = [[call("lead1", task="lead"), call("lead2", task="lead")], "done"]
    return Agent(Scripted(script), [lead(1).as_tool("Lead"), lead(2).as_tool("Lead")], name="boss", store=base.store, policy=free)


def human(run, folder):
    "Approves where a worker asks, and otherwise looks what happened; also where a tool is asked about again, because another pause is another tool"
    pending = run.pending[0]
    assert pending.path[0] == "boss" and len(pending.path) in (2, 3), pending
    if pending.about != "approve": return _human(run, folder)
    wish, file = f"{pending.call.tool} {pending.call.args['n']}", Path(folder)/"effects"
    happened = file.exists() and any(line.rsplit(" ", 1)[0].strip() == wish for line in file.read_text().splitlines())
    pending.answer(f"{wish} done") if happened else pending.approve()


def facts(store, top):
    "Runs that are whole, runs in all, questions and answers of a tree; read by a child, as `chaos.indexes` does"
    out, into = os.pipe()
    if not (pid := os.fork()):
        kept = open_store(store)
        steps = [kept.read(r) for r in kept.runs() if r == top or r.startswith(f"{top}.")]
        whole = sum(s[0].kind == "started" and s[-1].kind == "finished" and sum(x.kind == "started" for x in s) == 1 for s in steps)
        asked = sum(x.kind == "request" and x.body.about == "approve" for s in steps for x in s)
        answered = sum(x.kind == "decision" and x.body.verdict == "approve" and x.body.by == "you" for s in steps for x in s)
        os.write(into, json.dumps([whole, len(steps), asked, answered]).encode())
        os._exit(0)
    os.close(into)
    with os.fdopen(out) as read: said = json.loads(read.read())
    assert chaos.ended(pid) == 0
    return said


def verdict(store, folder):
    "What became of a tree that has ended"
    whole, runs, asked, answered = facts(store, chaos.run_of(folder))
    return dict(_verdict(store, folder), again=abs(whole - RUNS) + runs - whole, unasked=max(QUESTIONS - asked, 0) + max(QUESTIONS - answered, 0))


chaos.agent, chaos.human, chaos.verdict = tree, human, verdict


def wrong(found): return {k: n for k, n in found.items() if n and k in ("lost", "doubled", "missing", "failed", "unresumable", "again", "unasked")}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--postgres", action="store_true")
    args, bad = parser.parse_args(), Counter()
    found = at_random(files, args.kills, span=0.25)
    print("SQLite", dict(found), flush=True)
    bad += Counter(wrong(found))
    if args.postgres:
        from postgres import Server
        with tempfile.TemporaryDirectory() as folder:
            os.chmod(folder, 0o755)
            server = Server(f"{folder}/pg").start()
            try: found = at_random(databases(server.url), args.kills, span=0.5)
            finally: server.stop()
        print("PostgreSQL", dict(found), flush=True)
        bad += Counter(wrong(found))
    sys.exit(1 if bad else 0)


if __name__ == "__main__": main()
