"""How far the embedded model gets with the demo's job: `python bench/alerts.py`.

Eighteen alerts, two for each runbook section, in words that the runbooks do not use. For each: right (the right fix was
written), human (it was left for a human), or wrong (another fix was written). Nobody answers; the demo's policy does.
"""
import asyncio, collections, re, sys, tempfile

from agentnb import RequestOpen, RunStopped
from agentnb.cli.demo import on_call, read_runbooks

ALERTS = {
    "Disk full on a database host": ["disk full on db-1, the database cannot write", "db-1: no space left on device, writes fail"],
    "Too many connections": ["Postgres says: sorry, too many clients already", "the database refuses new connections"],
    "Replica lags behind": ["customers see old rows after saving", "the replica is behind the primary"],
    "Checkout is slow": ["Checkout is slow", "the checkout page takes 8 seconds to load"],
    "Payments are declined": ["card payments fail with error 402", "payments are declined since noon"],
    "Certificate expired": ["TLS certificate expired on the shop", "browsers say the certificate of the shop is not valid any more"],
    "DNS does not resolve": ["api host name cannot be resolved", "DNS lookups fail for internal services"],
    "Queue keeps growing": ["the job queue is growing, 40,000 jobs are waiting", "jobs wait for hours in the queue"],
    "Worker out of memory": ["a worker was OOM-killed while importing a large file", "workers are killed by the kernel, memory is exhausted"]}


async def main(model):
    runbooks, counts = read_runbooks(), collections.Counter()
    for title, alerts in ALERTS.items():
        fix = re.search(r"^Fix: (.*)$", runbooks[title], re.M).group(1)
        for alert in alerts:
            run = on_call(model, folder=tempfile.mkdtemp(), store="memory:").run(alert)
            try: outcome = "right" if (await run).endswith(fix) else "wrong"
            except (RequestOpen, RunStopped): outcome = "human"
            counts[outcome] += 1
            print(f"{outcome:6} {run.state.iteration} replies  {alert}", flush=True)
    print(", ".join(f"{n} {k}" for k, n in counts.most_common()), f"of {sum(counts.values())}")


if __name__ == "__main__": asyncio.run(main(sys.argv[1] if len(sys.argv) > 1 else "local:smollm2"))
