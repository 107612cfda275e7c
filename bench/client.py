"""What the clients cost over the bare SDKs: `python bench/client.py`.

Both ask the same server on loopback, which plays a recording, in turns; medians and their ratio are printed. The second table is the time
from the server's sending the first piece of text to `on_delta`. Seconds depend on the machine; ratios do not, much.
"""
import asyncio, gc, json, statistics, sys, time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent/"tests"/"helpers"))
import anthropic, openai
from replay import FOLDER, Replay

from agentnb.models.anthropic import Anthropic, http_pool
from agentnb.core.messages import Ask, user
from agentnb.models.openai import OpenAI

ROUNDS, WARM = 300, 30


def first(cassette): return json.loads((FOLDER/cassette).read_text())["interactions"][0]["response"]


async def timed(make):
    began = time.perf_counter()
    await make()
    return time.perf_counter() - began


async def compare(name, bare, ours):
    times = {bare: [], ours: []}
    for i in range(ROUNDS + WARM):
        for call in ((bare, ours) if i % 2 else (ours, bare)):
            took = await timed(call)
            if i >= WARM: times[call].append(took)
    a, b = (statistics.median(times[c]) * 1000 for c in (bare, ours))
    print(f"{name:24} bare SDK {a:6.2f} ms   agentnb {b:6.2f} ms   ratio {b / a:.2f}", flush=True)


async def drain(stream):
    async for _ in await stream: pass


def openai_sdk(url): return openai.AsyncOpenAI(api_key="k", base_url=f"{url}/v1", max_retries=0, http_client=http_pool(url))
def anthropic_sdk(url): return anthropic.AsyncAnthropic(api_key="k", base_url=url, max_retries=0, open_telemetry=False, http_client=http_pool(url))
def chat(url): return OpenAI("gpt-4o", api="chat", key="k", url=f"{url}/v1")
def responses(url): return OpenAI("gpt-5.5", key="k", url=f"{url}/v1")
def claude(url): return Anthropic("claude-x", "k", url)


BODY, HELLO = dict(model="gpt-4o", messages=[dict(role="user", content="hello")]), [user("hello")]
HEAR = Ask(on_delta=lambda _: None)
CASES = {   # recording, SDK, the SDK's call, our client, how it is asked
    "chat": ("openai_chat/text_basic.json", openai_sdk, lambda s: s.chat.completions.create(**BODY), chat, Ask()),
    "chat, streamed": ("openai_chat/tool_stream_single.json", openai_sdk, lambda s: drain(s.chat.completions.create(**BODY, stream=True)), chat, HEAR),
    "responses": ("openai_responses/text_basic.json", openai_sdk, lambda s: s.responses.create(model="gpt-5.5", input="hello"), responses, Ask()),
    "anthropic": ("anthropic/text_basic.json", anthropic_sdk, lambda s: s.messages.create(**BODY, max_tokens=100), claude, Ask()),
    "anthropic, streamed": ("anthropic/thinking_stream.json", anthropic_sdk, lambda s: drain(s.messages.create(**BODY, max_tokens=100, stream=True)), claude,
        HEAR)}
FIRST = {"chat": ("openai_chat/text_stream.json", chat), "responses": ("openai_responses/text_stream.json", responses),
    "anthropic": ("anthropic/text_stream.json", claude)}


async def side_by_side(name, cassette, sdk, bare, ours, ask):
    with Replay([first(cassette)]) as replay:
        theirs, model = sdk(replay.url), ours(replay.url)
        await compare(name, lambda: bare(theirs), lambda: model(HELLO, ask=ask))


async def first_text(name, cassette, ours):
    late, heard = [], []
    with Replay([first(cassette)], pause=0.004) as replay:
        model = ours(replay.url)
        for _ in range(60):
            heard.clear()
            replay.sent.clear()
            await model(HELLO, ask=Ask(on_delta=lambda d: heard.append(time.monotonic())))
            late.append(heard[0] - max(s for s in replay.sent if s <= heard[0]))
    print(f"{name:24} first text to on_delta {statistics.median(late[10:]) * 1000:.2f} ms, slowest of 50 {max(late[10:]) * 1000:.2f} ms", flush=True)


async def main():
    for name, case in CASES.items(): await side_by_side(name, *case)
    for name, case in FIRST.items(): await first_text(name, *case)


if __name__ == "__main__":
    gc.disable()
    asyncio.run(main())
