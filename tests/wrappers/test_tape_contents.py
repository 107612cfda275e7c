"""What a person sees beside a result goes onto a tape and comes from it, without secrets."""
import asyncio

from agentnb import Agent, Scripted, Tape, call, tool
from agentnb.store.contents import bytes_of, whole_text


def test_what_is_shown_beside_a_result_is_on_the_tape(tmp_path, monkeypatch):
    "A picture, and all of a result that was cut, without the secret in it; played into another store, where the model reads on"
    monkeypatch.setenv("SHOP_TOKEN", "verysecretvalue")
    pixel = b"GIF89a\x01\0\x01\0" + b"\0" * 30

    @tool(read_only=True)
    def picture() -> bytes: return pixel

    @tool(read_only=True)
    def dump() -> str: return "alert\n" * 3000 + "verysecretvalue"

    def run(mode):
        tape = Tape(tmp_path/"t.json", mode=mode)
        script = Scripted([[call("picture"), call("dump")], call("read_result", call_id="c1.1", page=4), "done"])
        made = Agent(tape(script), [tape(picture), tape(dump)], store="memory:", result_limit=5000).run("go")
        asyncio.run(made.wait())
        return made
    first, again = run("auto"), run("replay")
    beside = [[c for s in r.steps if s.kind == "tool" for c in s.body.contents] for r in (first, again)]
    assert [c.about for c in beside[1]] == ["shown", "whole"] and bytes_of(again.store, beside[1][0]) == pixel and beside[0][0] == beside[1][0]
    assert "verysecret" not in (tmp_path/"t.json").read_text() and whole_text(again.store, beside[1]).startswith("alert\nalert")
    assert [m.content[:20] for m in again.tip.messages] == [m.content[:20] for m in first.tip.messages]
