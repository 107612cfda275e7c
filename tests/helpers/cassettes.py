"""Every recorded exchange through the public clients, cut in several ways. `python tests/helpers/cassettes.py` prints the table.

The recordings are in tests/data/cassettes; each file names its source and its licence."""
import asyncio, json, sys

from places import DATA
from replay import Replay

from agentnb.models.anthropic import Anthropic
from agentnb.host.kernel import run_blocking
from agentnb.core.messages import Ask, ToolSpec, user
from agentnb.models.protocol import ModelError
from agentnb.models.ollama import Ollama
from agentnb.models.openai import OpenAI

FOLDER = DATA/"cassettes"
FILES = sorted(FOLDER.glob("*/*.json"))
SERVERS = {"api.deepseek.com": "deepseek", "api.groq.com": "groq", "openrouter.ai": "openrouter", "router.huggingface.co": "together", "localhost:8000": "vllm"}


def client_for(path, request, url):
    "The public client that would have made this request"
    where, model = request["path"], (request.get("json") or {}).get("model") or "claude-sonnet-4-6"
    if path.parent.name == "anthropic": return Anthropic(model, "test-key", url, timeout=20)
    if "/api/chat" in where: return Ollama(model, url, timeout=20)
    server = next((s for host, s in SERVERS.items() if host in (request.get("base") or "")), "openai")
    api = "responses" if "/responses" in where else "chat" if "/chat/" in where else "completions"
    return OpenAI(model, server, api, "test-key", f"{url}/v1", timeout=20)


def as_expected(reply, expected):
    "What of the reply differs from what the recording says; empty if nothing does"
    used, counted = expected.get("usage") or {}, reply.usage
    said = dict(text=reply.content, stop=reply.stop or None, calls=[(c.tool, c.args) for c in reply.calls])
    meant = dict(text=expected["text"], stop=expected["stop"], calls=[(c["name"], c["args"]) for c in expected["tool_calls"]])
    ids = [c["id"] for c in expected["tool_calls"]]
    if all(ids): said["ids"], meant["ids"] = [c.id for c in reply.calls], ids
    sides = [("input", ("prompt_tokens", "prompt_eval_count")), ("output", ("completion_tokens", "output_tokens", "eval_count"))]
    for name, keys in sides: meant[name], said[name] = next((used[k] for k in keys if k in used), None), getattr(counted, name)
    if "input_tokens" in used:
        apart = [used.get(k) or 0 for k in ("cache_creation_input_tokens", "cache_read_input_tokens")]
        meant["input"] = used["input_tokens"] + sum(apart)
    if "thinking_chars" in expected: said["thinking"], meant["thinking"] = len(reply.thinking), expected["thinking_chars"]
    uncounted = lambda k: k in ("input", "output") and (meant[k] is None or meant[k] == 0 and counted.estimated)
    return {k: (said[k], meant[k]) for k in meant if meant[k] != said[k] and not uncounted(k)}


def wrong_about(error, expected):
    "What of the error is not as it should be; empty if nothing is"
    if expected["status"] == 200 and "raw" in expected: return {} if error.kind == "malformed" else {"kind": error.kind}
    kinds = {400: ("invalid_request", "malformed"), 401: ("authentication",), 404: ("not_found",), 429: ("rate_limited",)}
    if error.kind not in kinds.get(expected["status"], ()): return {"kind": (error.kind, expected["status"])}
    if error.status != expected["status"]: return {"status": (error.status, expected["status"])}
    return {"text": str(error)} if "test-key" in str(error) else {}


async def ask(client, stream, deltas):
    if client.name.startswith("anthropic:") and client.wire_format.path.endswith("count_tokens"): return await client.count_tokens([user("hello")])
    return await client([user("hello")], [ToolSpec(name="look")], "Be brief.", Ask(on_delta=deltas.append if stream else None))


def play(path, index, chunk=None, sync=False):
    "Ask one recorded request; what differs from what is expected, and what was heard"
    doc = json.loads(path.read_text())
    request, expected = doc["interactions"][index]["request"], doc["expected"][index]
    with Replay([doc["interactions"][index]["response"]], chunk=chunk) as replay:
        client, deltas = client_for(path, request, replay.url), []
        counting = request["path"].endswith("count_tokens")
        made = client.count_tokens([user("hello")]) if counting else ask(client, bool(expected["stream"]), deltas)
        try: reply = run_blocking(made) if sync else asyncio.run(made)
        except ModelError as e: return wrong_about(e, expected) if expected["status"] != 200 or "raw" in expected else {"error": str(e)}, e.kind
    if counting: return ({} if reply == expected["usage"]["input_tokens"] else {"count": reply}), f"{reply} tokens"
    if expected["status"] != 200 or "raw" in expected: return {"no error": reply.content[:60]}, ""
    heard = "".join(d.text for d in deltas if d.kind == "text")
    differs = as_expected(reply, expected)
    if deltas and heard != reply.content: differs["heard"] = (heard, reply.content)
    what = ", ".join(f"{c.tool}({json.dumps(c.args)})" for c in reply.calls) or " ".join(reply.content.split())
    return differs, f"{what[:60]} [{reply.usage.input} in, {reply.usage.output} out]"


WAYS = [dict(chunk=c, sync=s) for c in (None, 7) for s in (False, True)]
CASES = [(path, i) for path in FILES for i in range(len(json.loads(path.read_text())["interactions"]))]

if __name__ == "__main__":
    bad = 0
    for path, index in CASES:
        results = [play(path, index, **way) for way in WAYS]
        wrong = [differs for differs, _ in results if differs]
        bad += bool(wrong)
        print(f"{'WRONG' if wrong else 'ok':5} {path.parent.name}/{path.stem} {index}: {results[0][1]}", *wrong[:1])
    print(f"{len(FILES)} recordings, {len(CASES)} requests, each whole and cut every 7 bytes, async and sync: {bad} wrong")
    sys.exit(bad > 0)
