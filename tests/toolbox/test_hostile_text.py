# ruff: noqa: E501
"""Text from outside, a megabyte of it, through every place that reads or shows text: none takes a second of the processor."""
import re, time
from email.message import Message

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agentnb.core import calls, shape, shown
from agentnb.core.messages import ToolSpec
from agentnb.metrics.review import _lists_values
from agentnb.models.local import _json_in
from agentnb.models.wire import _is_foreign
from agentnb.routing.meaning import _PART
from agentnb.tools.contract import ToolError
from agentnb.toolbox import files, http, kernels, page
from agentnb.toolbox.lite import SQLiteDatabase
from agentnb.toolbox.rooted import Root
from agentnb.views import contents, html, markdown, text, tree

MB = 1_000_000
LOOK, FITS = [ToolSpec(name="look", description="", parameters={})], dict(type="object", properties=dict(a=dict(type="array", items=dict(type="object"))))
WITHIN = 1.0  # second of the processor; a place that is quadratic takes minutes


def grown(seed, size=MB): return (seed * (size // len(seed) + 1))[:size]


def answered(kind, charset):
    headers = Message()
    headers["Content-Type"] = f"{kind}; charset={charset}"
    return lambda said: http.response_text(http.Response(200, headers, said.encode(errors="replace"), False, "http://a/"))


def patched(said):
    for old, new in ((said[:5000] + "q", "b"), (said[:500], said[:1000]), (said[:400_000], "b")):
        try: files.patch_text(said, old, new)
        except ToolError: pass


def written(said):
    output = kernels._Output(20_000)
    output.add(said)
    return output.text()


PLACES = dict(visible=text.visible, escape=text.escape_html, markdown=markdown.markdown_html, block=lambda t: markdown.markdown_html(t[:40_000]),
    table=lambda t: markdown.markdown_html("| a |\n" + t[:39_000] + "x"), code=lambda t: markdown.code_html(t[:40_000], "python"), diff_shown=markdown.diff_html,
    fence=lambda t: markdown.markdown_html("```markdown\n" + t[:39_000]), picture=lambda t: markdown.picture_html("data:image/png;base64," + t),
    result=html._result_html, csv=lambda t: html.table_html("DataFrame of 3 rows, as CSV:\n" + t), json=tree.json_html,
    html=contents.clean_html, svg=lambda t: contents.clean_svg(b"<svg>" + t.encode(errors="replace")), words=shown.html_words, page=page.page_text,
    response=answered("text/html", "utf-8"), punycode=answered("text/plain", "punycode"), calls=lambda t: calls.calls_in_text(t, LOOK),
    qwen=lambda t: calls.calls_in_text("<function=look>" + t, LOOK), lost=lambda t: calls.lost_call(t, LOOK), name=calls.fit_name, fenced=shape.json_texts,
    answer=lambda t: shape.schema_error_in_text(t, FITS), inner=lambda t: shape.read_inner_json(dict(a=t), FITS), changed=lambda t: files.diff(t, t[::-1] + "b", "f"),
    patched=patched, ansi=lambda t: kernels._ANSI.sub("", t), written=written, foreign=lambda t: _is_foreign(t.encode(errors="replace") + b"\nx"),
    quoted=_PART.findall, listed=lambda t: _lists_values(t[:10_000]), action=lambda t: _json_in("{}```" + t) if "```" not in t else None)

SEEDS = ["<pre> ", " ", " \n", "-", "- ", "*", "**a ", "_a ", "`", "```\n", "~~~", "[", "[a](", "|", "| ", ">", "#", "<", "<a ", "<a href='", "<!--", "<![CDATA[",
    "<![x[", "<?", "</p", "<p>", "<svg></b>", "<style>", "<title>", "<a>", "&", "&#x", "&notit;", "{", "[{", "{\"a\":", "\\u0000", "<tool_call>", "<parameter=a>",
    "<parameter=", "<|im_end|>", "</s>", "\x1b[0;", "\x1b]a", "\x00", "\u202e", "\ud800", ":", ": ", "“", "„", "'a' , ", "'a',,", "1. ", "  - a\n", "http://", "<metadata ",
    "<!DOCTYPE ", "data: {\n", "a\n"]


def taken(act, said):
    "Seconds of the processor"
    began = time.process_time()
    try: act(said)
    except (ToolError, ValueError): pass
    return time.process_time() - began


def is_quick(act, said): return any(taken(act, said) < WITHIN for _ in range(2))  # others use this machine too


@pytest.mark.parametrize("place", PLACES)
def test_no_known_pattern_is_slow_anywhere(place):
    act = PLACES[place]
    small = [(seed, taken(act, grown(seed, 20_000))) for seed in SEEDS]   # what is quadratic takes seconds here already
    assert all(seconds < 0.3 for _, seconds in small), [s for s in small if s[1] >= 0.3]
    for seed, _ in sorted(small, key=lambda s: -s[1])[:1]:
        assert is_quick(act, grown(seed)), seed


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from(sorted(PLACES)), st.text(st.sampled_from("<>![]()*_`~#|-=&;:/\\\"'{},. \n\tax1\x1b\u202e"), min_size=1, max_size=8), st.sampled_from(["", "x", "</pre>", "\n"]))
def test_no_seed_is_slow_anywhere(place, seed, end): assert is_quick(PLACES[place], grown(seed) + end)


PATTERNS = [("^(a+)+$", "a" * 60 + "!"), ("(a|a)*b", "a" * 60), ("(.*)*x", "a" * 5000), ("(a|aa)+$", "a" * 60 + "!"), (r"^(\w+\s?)*$", "a " * 50 + "!"),
    ("^(?=(a+)+$)a", "a" * 60 + "!"), (r"(a+)+\1b", "a" * 60), ("a*a*a*a*b", "a" * 20_000), ("(a?){40}a{40}", "a" * 39), ("(x{1,100}){1,100}y", "x" * MB)]


@pytest.mark.parametrize("pattern, value", PATTERNS, ids=[p for p, _ in PATTERNS])
@pytest.mark.parametrize("place", ["pattern", "names", "inside"])
def test_a_pattern_of_a_schema_takes_no_time(pattern, value, place):
    schema = dict(pattern={"type": "string", "pattern": pattern}, names={"type": "object", "patternProperties": {pattern: {}}, "unevaluatedProperties": False},
        inside={"type": "object", "properties": {"a": {"$schema": "https://json-schema.org/draft/2020-12/schema", "pattern": pattern}}})[place]
    given = dict(pattern=value, names={value[:200]: 1}, inside={"a": value})[place]
    assert is_quick(lambda v: shape.schema_error(v, schema), given)


def test_patterns_are_still_checked():
    at = lambda pattern, value: shape.schema_error(value, {"type": "string", "pattern": pattern})
    assert at("^[a-z]+$", "A1") and not at("^[a-z]+$", "ab") and at(r"^(?=.*\d).+$", "abc") and not at(r"^(?=.*\d).+$", "a1") and at("^(a+)+$", "a" * 60 + "!")
    named = {"type": "object", "patternProperties": {"^x-": {"type": "integer"}}, "additionalProperties": False}
    assert shape.schema_error({"x-a": "b"}, named) and shape.schema_error({"y": 1}, named) and not shape.schema_error({"x-a": 1}, named)
    assert not shape.schema_error({"patternProperties": "x"}, {"properties": {"patternProperties": {"const": "x"}, "$schema": {"type": "string"}}})
    assert shape.schema_error({"$schema": 1}, {"properties": {"$schema": {"type": "string"}}})


SQL = ["SELECT hex(zeroblob(500000)) LIKE '" + "%0" * 40 + "1'", "SELECT hex(zeroblob(500000)) GLOB '" + "*0" * 40 + "1'", "SELECT a FROM slow",
    "SELECT instr(hex(zeroblob(4000000)), hex(zeroblob(2000000)) || '1')", "SELECT replace(hex(zeroblob(4000000)), hex(zeroblob(2000000)) || '1', 'x')",
    "SELECT length(trim(hex(zeroblob(4000000)), replace(hex(randomblob(300000)), '0', '1') || '0'))", "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT max(x) FROM c"]


@pytest.mark.parametrize("statement", SQL, ids=["like", "glob", "view", "instr", "replace", "trim", "loop"])
def test_a_statement_of_sqlite_ends_with_its_time(statement, tmp_path):
    import sqlite3
    with sqlite3.connect(tmp_path/"a.db") as db: db.executescript(f"CREATE TABLE t (a); CREATE VIEW slow AS {SQL[0]} AS a")
    db.close()
    began, base = time.monotonic(), SQLiteDatabase(tmp_path/"a.db", seconds=0.3)
    try: base.run(statement)
    except ToolError as e: assert e.failure.kind == "timeout"
    assert time.monotonic() - began < 5


def test_statements_in_a_process_of_their_own_say_the_same(tmp_path):
    import sqlite3
    with sqlite3.connect(tmp_path/"a.db") as db: db.executescript("CREATE TABLE t (a, b); INSERT INTO t VALUES ('X1', x'00ff'), (NULL, 2.5)")
    db.close()
    base = SQLiteDatabase(tmp_path/"a.db")
    assert base.run("SELECT a, b FROM t WHERE a LIKE 'x%' OR a IS NULL").rows == (("X1", "x'00ff'"), (None, "2.5"))
    assert base.run("UPDATE t SET a = replace(a, 'X', 'Y')", write=True).changed == 2 and base.run("SELECT a FROM t").rows[0] == ("Y1",)
    for statement, kind in (("SELECT replace(a, 1, 2) FROM u", "not_found"), ("DELETE FROM t WHERE a LIKE 'x'", "permission_denied"), ("SELECT load_extension('x'), 'a' LIKE 'b'", "permission_denied")):
        with pytest.raises(ToolError) as e: base.run(statement)
        assert e.value.failure.kind == kind, statement


def test_searching_and_reading_a_slow_file(tmp_path):
    tools = files.FileReadTools(Root(tmp_path))
    for seed in ("a", "\n", " ", "ab\n", "ß"):
        (tmp_path/"f.txt").write_text(grown(seed))
        assert is_quick(lambda _: tools.search_files("aaab", ignore_case=True), "") and is_quick(lambda _: tools.read_file("f.txt"), "")
        assert is_quick(lambda _: tools.list_files(pattern="*a" * 90 + "b"), "")
    assert re.match("a.txt: |Nothing", tools.search_files("zz"))
