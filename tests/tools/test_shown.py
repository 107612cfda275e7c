"""What notebook people return: tables, arrays, pictures, parts of pages; what the model reads of them, and what is kept for the person."""
import asyncio, base64, io, re, subprocess, sys, zlib
from types import SimpleNamespace

import numpy as np, pandas as pd, pytest
from matplotlib.figure import Figure
from PIL import Image

from agentnb import Agent, Scripted, call, tool
from agentnb.core.contents import MOST_BYTES, picture_of
from agentnb.core.shown import html_words, shown_of
from agentnb.tools.results import read_result

GIF = base64.b64decode("R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7")


def image(kind, size=(4, 3), **how):
    file = io.BytesIO()
    Image.new("RGB", size, "red").save(file, kind, **how)
    return file.getvalue()


def chart(**how):
    figure = Figure(figsize=(2, 1), dpi=50, **how)
    figure.subplots().plot([1, 3, 2])
    return figure


class Drawn:
    "Shows what it was given, under the names that notebooks know"
    def __init_subclass__(cls, **shows):
        for name, given in shows.items(): setattr(cls, f"_repr_{name}_", lambda self, given=given, **how: given() if callable(given) else given)


def drawn(**shows): return type("Thing", (Drawn,), {}, **shows)()


def kept(value, limit=100_000): return [(c.mime, c.about) for c, _ in getattr(read_result(value, limit), "contents", ())]


@pytest.mark.parametrize("kind, mime", [("PNG", "image/png"), ("JPEG", "image/jpeg"), ("GIF", "image/gif"), ("WEBP", "image/webp")])
def test_bytes_with_a_pictures_head(kind, mime):
    data = image(kind, (640, 480))
    assert picture_of(data) == (mime, 640, 480)
    for given in (data, bytearray(data), memoryview(data)):
        made = read_result(given)
        assert re.fullmatch(r"\(a \w+ picture, 640 x 480, \d+ (kB|bytes)\)", made) and [(c.mime, d) for c, d in made.contents] == [(mime, data)]
    for end in range(0, 40): picture_of(data[:end])   # a head that ends anywhere


@pytest.mark.parametrize("how", [dict(lossless=True), dict(lossless=False), dict(lossless=True, exif=b"Exif\0\0")], ids=["lossless", "lossy", "extended"])
def test_each_kind_of_webp(how): assert picture_of(image("WEBP", (70, 30), **how)) == ("image/webp", 70, 30)


@pytest.mark.parametrize("how", [dict(progressive=True), dict(comment=b"\xff\xc0" * 9), dict(quality=1)], ids=["progressive", "comment", "small"])
def test_each_kind_of_jpeg(how): assert picture_of(image("JPEG", (70, 30), **how)) == ("image/jpeg", 70, 30)


@pytest.mark.parametrize("value", [chart(), chart().axes[0], Figure(figsize=(2, 1)).subfigures(), Image.new("RGB", (4, 3)), Image.new("CMYK", (4, 3)),
    Image.new("F", (4, 3)), GIF, drawn(png=image("PNG")),
    drawn(png=base64.b64encode(image("PNG")).decode()), drawn(png=(image("PNG"), {"width": 4})), drawn(jpeg=image("JPEG")),
    drawn(svg="<svg xmlns='http://www.w3.org/2000/svg'/>"), drawn(mimebundle={"image/png": image("PNG"), "text/plain": "x"}),
    drawn(mimebundle=({"image/png": base64.b64encode(image("PNG")).decode()}, {})), drawn(png=image("PNG"), html="<b>x</b>")],
    ids=lambda v: f"{type(v).__module__}.{type(v).__name__}")
def test_a_picture_is_a_sentence_and_is_kept(value):
    made = read_result(value)
    assert re.match(r"\(an? \w+ picture, ", made) and [c.mime.partition("/")[0] for c, _ in made.contents] == ["image"], made


@pytest.mark.parametrize("value, text, mimes", [
    (drawn(html="<table><tr><td>a</td><td>1 &amp; 2</td></tr></table><script>go()</script>"), "a | 1 & 2", ["text/html"]),
    (drawn(markdown="**due** soon"), "**due** soon", ["text/markdown"]),
    (drawn(markdown="**due**", html="<b>due</b>"), "**due**", ["text/html"]),
    (drawn(mimebundle={"text/plain": "as text"}), "as text", []),
    (drawn(html="<style>a</style>"), None, ["text/html"]),
    (SimpleNamespace(_repr_html_=lambda: "<b>x</b>"), None, [])], ids=range(6))
def test_parts_of_pages_are_text_for_the_model(value, text, mimes):
    made = read_result(value)
    assert [m for m, _ in kept(value)] == mimes and "0x" not in made
    if text is not None: assert made == text


def fails(error):
    def fail(): raise error
    return fail


@pytest.mark.parametrize("value", [drawn(png=fails(SystemExit(1))), drawn(html=fails(asyncio.CancelledError())), drawn(svg=fails(StopIteration())),
    drawn(markdown=fails(GeneratorExit())),
    drawn(mimebundle=fails(BaseExceptionGroup("g", [SystemExit()]))), drawn(png=7), drawn(png="no base64!"), drawn(png=b"no picture"), drawn(png=None),
    drawn(html=b"bytes"), drawn(mimebundle=[1]), drawn(mimebundle=({},)), drawn(mimebundle={1: 2}), drawn(html=""), drawn(jpeg=()),
    type("Lies", (), dict(__getattr__=lambda self, n: self, __call__=lambda self, *a, **k: self))()],
    ids=range(16))
def test_what_cannot_be_drawn_is_text(value):
    made = read_result({"it": value})
    assert not kept(value) and made.startswith('{"it":"') and "0x" not in made


def test_a_class_and_our_own_values_draw_nothing():
    from agentnb import Plan
    assert not kept(type(drawn(html="<b>x</b>"))) and not kept(Plan(tasks=["Look"])) and not kept(Agent(Scripted(["x"]), store="memory:"))


def test_parts_stay_parts():
    "A figure in a list, in a dict, twice; a list and a model that can draw themselves too"
    figure, table = chart(), type("Rows", (list, Drawn), {}, html="<table></table>")([1, 2])
    made = read_result({"charts": [figure, figure.axes[0]], "n": 3})
    assert re.fullmatch(r'\{"charts":\["\(a PNG.*?\)","\(a PNG.*?\)"\],"n":3\}', made) and len(made.contents) == 1
    assert read_result(table) == "[1,2]" and kept(table) == [("text/html", "shown")]
    assert len(read_result((figure, figure.subplots(2))).contents) == 1   # what pyplot.subplots gives: the same picture thrice
    assert len(read_result([Image.new("RGB", (1, n + 1)) for n in range(30)]).contents) == 20


def test_a_picture_that_is_too_large_is_named_and_not_kept():
    data = image("PNG") + bytes(MOST_BYTES)
    assert read_result(data) == "(a PNG picture, 4 x 3, 20.0 MB) (not kept: it is too much)" and not kept(data)
    assert picture_of(shown_of(Figure(figsize=(500, 500), dpi=100)).contents[0][1])[1] <= 4000


@pytest.mark.parametrize("table, text", [
    (pd.DataFrame({"host": ["db", "web"], "load": [0.9, 0.1]}), "DataFrame of 2 rows and 2 columns, as CSV:\nhost,load\ndb,0.9\nweb,0.1\n"),
    (pd.Series([1, 2], name="n"), "Series of 2 rows, as CSV:\nn\n1\n2\n"), (pd.DataFrame(), "DataFrame of 0 rows and 0 columns, as CSV:\n"),
    (np.arange(4).reshape(2, 2), "array of shape (2, 2), int64:\n[[0,1],[2,3]]")], ids=["frame", "series", "empty", "array"])
def test_tables_and_arrays_are_text_with_their_shape(table, text):
    made = read_result(table)
    assert made.rstrip("\n") == text.rstrip("\n") and not kept(table)


def test_a_styled_table_is_drawn():
    pytest.importorskip("jinja2")   # which pandas needs for it
    table = pd.DataFrame({"host": ["db"]}).style
    assert kept(table) == [("text/html", "shown")] and "db" in read_result(table)


@pytest.mark.parametrize("value, head", [("x" * 5000, "x" * 50), (pd.DataFrame({"a": range(2000)}), "DataFrame of 2,000 rows"),
    (list(range(3000)), "[0,1,2"), (np.zeros((50, 60)), "array of shape (50, 60), float64, in short:"), ([{"k": "v" * 50}] * 100, '[{"k":"vvv')],
    ids=["text", "table", "list", "array", "rows"])
def test_all_of_what_is_cut_is_kept(value, head):
    made, whole = read_result(value, 1000), read_result(value, 10_000_000)
    assert made.startswith(head) and len(made) < 1400 and [c.about for c, _ in made.contents] == ["whole"] and made.contents[0][1].decode() == whole
    assert not kept(value, None)


def test_words_of_html_and_hostile_html_end_soon():
    for bad in ("<" * 10**5, "<a " * 10**5, '<a x="' * 10**5, "<!--" * 10**5, "<table>" * 10**5, "<script>" * 10**4, "&#" * 10**5): html_words(bad)
    assert html_words("<p>a<p>b<br>c &lt;d&gt;<script>no</script>") == "a\nb\nc <d>"
    assert picture_of(b"\x89PNG\r\n\x1a\n" + zlib.compress(b"")) is None


def test_no_library_is_imported_for_it():
    code = "import sys, agentnb; from agentnb.tools.results import read_result; read_result([object(), {1}, b'GIF89a'])\n" \
        "print([m for m in ('numpy', 'pandas', 'matplotlib', 'PIL', 'IPython') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "[]\n"


def test_no_address_in_a_log():
    "Whatever of these a tool gives back"
    values = [chart(), chart().axes, chart().axes[0].lines, object(), lambda: 1, pd.DataFrame({"o": [object()]}), np.array([object()]),
        drawn(html="<b>x</b>"), drawn(png=None), drawn(mimebundle={"text/plain": repr(object())}), {"f": chart()}]
    @tool(read_only=True)
    def give(n: int) -> object:
        "One of them"
        return values[n]
    run = Agent(Scripted([[call("give", n=n) for n in range(len(values))], "done"]), [give], store="memory:").run("go")
    asyncio.run(run.wait())
    assert not any(re.search(r"0x[0-9a-f]{6}", s.model_dump_json()) for s in run.steps)
