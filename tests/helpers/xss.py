"""Texts that try to be more than text. Each sets `agentnb_owned` if it runs."""
# ruff: noqa: E501
import base64
from html.parser import HTMLParser
from xml.etree import ElementTree

_DO = "window.agentnb_owned=1"
_SVG = "PHN2ZyB4bWxucz0iaHR0cDovL3d3dy53My5vcmcvMjAwMC9zdmciIG9ubG9hZD0id2luZG93LmFnZW50bmJfb3duZWQ9MSIvPg=="

MARKUP = [f"<script>{_DO}</script>", f"<SCRIPT SRC=data:text/javascript,{_DO}></SCRIPT>", f"<scr<script>ipt>{_DO}</scr</script>ipt>", f"<img src=x onerror={_DO}>",
    f"<img src=x onerror=\"{_DO}\">", f"<IMG SRC=\"jav\tascript:{_DO}\">", f"<svg onload={_DO}>", f"<svg><script>{_DO}</script></svg>", f"<svg><animate onbegin={_DO} attributeName=x dur=1s>",
    f"<iframe srcdoc=\"<script>parent.{_DO}</script>\"></iframe>", f"<iframe src=\"javascript:parent.{_DO}\"></iframe>", f"<object data=\"javascript:{_DO}\"></object>",
    f"<embed src=\"data:image/svg+xml;base64,{_SVG}\">", f"<body onload={_DO}>", f"<details open ontoggle={_DO}><summary>x</summary></details>", f"<video><source onerror={_DO}></video>",
    f"<audio src=x onerror={_DO}>", f"<input autofocus onfocus={_DO}>", f"<textarea autofocus onfocus={_DO}></textarea>", f"<select autofocus onfocus={_DO}>", f"<marquee onstart={_DO}>",
    f"<math><mtext><table><mglyph><style><img src=x onerror={_DO}></style></mglyph></table></mtext></math>", f"<form action=\"javascript:{_DO}\"><button>go</button></form>",
    f"<a href=\"javascript:{_DO}\">go</a>", f"<a href=\"java&#x73;cript:{_DO}\">go</a>", f"<button formaction=\"javascript:{_DO}\">go</button>", f"<base href=\"javascript:{_DO}//\">",
    f"<meta http-equiv=refresh content=\"0;url=javascript:{_DO}\">", f"<link rel=stylesheet href=\"data:text/css,*{{background:url('javascript:{_DO}')}}\">",
    "<style>@import 'http://evil.invalid/x.css'; * { display: none }</style>", f"<div style=\"width: expression({_DO})\">x</div>", "<div style=\"background:url(http://evil.invalid/p)\">x</div>",
    f"<x onclick={_DO} style=position:fixed;inset:0;z-index:99999>click</x>", f"<template><script>{_DO}</script></template>", f"<noscript><p title=\"</noscript><img src=x onerror={_DO}>\">",
    f"<!--><img src=x onerror={_DO}>-->", f"<![CDATA[<img src=x onerror={_DO}>]]>", "<dialog open>Approve? <button>Approve</button></dialog>"]
BREAKOUT = [f"\"><script>{_DO}</script>", f"'><img src=x onerror={_DO}>", f"</pre><script>{_DO}</script>", f"</code></pre><img src=x onerror={_DO}>", f"</textarea><script>{_DO}</script>",
    f"</option></select><img src=x onerror={_DO}>", f"\" onmouseover=\"{_DO}\" x=\"", f"' autofocus onfocus='{_DO}", f"&lt;img src=x onerror={_DO}&gt;", f"&#60;script&#62;{_DO}&#60;/script&#62;",
    f"${{{_DO}}} {{{{{_DO}}}}} <%={_DO}%>", f"\\u003cscript\\u003e{_DO}\\u003c/script\\u003e"]
MARKDOWN = [f"[go](javascript:{_DO})", f"[go](JaVaScRiPt:{_DO})", f"[go](\x01javascript:{_DO})", f"[go](data:text/html,<script>{_DO}</script>)", "[go](vbscript:x)", f"[go](https://x\"onclick=\"{_DO})",
    f"[a]: javascript:{_DO}\n[a]", f"<javascript:{_DO}>", f"![x](x\"onerror=\"{_DO})", f"![x](data:image/svg+xml;base64,{_SVG})", "![p](http://evil.invalid/pixel.png)", f"![x\" onerror=\"{_DO}](data:image/png;base64,AAAA)",
    f"```html\"onclick=\"{_DO}\n<script>{_DO}</script>\n```", f"`<img src=x onerror={_DO}>`", f"| <img src=x onerror={_DO}> |\n|---|\n| [x](javascript:{_DO}) |", f"# <img src=x onerror={_DO}>",
    f"> <svg onload={_DO}>", f"- <script>{_DO}</script>", f"**<img src=x onerror={_DO}>**", f"[<img src=x onerror={_DO}>](https://example.com)", f"https://example.com/\"onmouseover=\"{_DO}"]
HIDDEN = ["\x1b[31mred\x1b[0m \x1b]0;title\x07", "\x1b[2J\x1b[H", "invoice\u202egpj.exe", "\u2066isolated\u2069 \u200bzero\ufeff", "bell\x07 null\x00 delete\x7f", "line\u2028separator\u2029", "a\rb\x0bc\x0cd",
    "x" * 60_000, "[" * 3_000, "*" * 3_000, "`" * 3_001, "{\"a\":" * 500 + "1" + "}" * 500, "e\u0301" * 400 + "\u0489" * 200, f"{{\"k\": \"<img src=x onerror={_DO}>\", \"<script>{_DO}</script>\": 1}}"]
CORPUS = MARKUP + BREAKOUT + MARKDOWN + HIDDEN

# what no page that shows them may hold
BAD = """root => { const found = [];
    for (const n of root.querySelectorAll('*')) {
        if (['SCRIPT', 'IFRAME', 'OBJECT', 'EMBED', 'STYLE', 'LINK', 'META', 'BASE', 'SVG', 'svg', 'MATH', 'math', 'FORM', 'VIDEO', 'AUDIO', 'DIALOG', 'MARQUEE', 'TEMPLATE'].includes(n.tagName)) found.push(n.tagName);
        for (const a of n.attributes) {
            if (/^on/i.test(a.name)) found.push(`${n.tagName} ${a.name}`);
            if (/^(href|src|action|formaction|srcdoc|data|xlink:href)$/i.test(a.name) && !/^(https?:|mailto:|data:image\\/(png|jpeg|gif|webp);base64,)/i.test(a.value)) found.push(`${a.name}=${a.value.slice(0, 60)}`);
        }
    }
    return found }"""

# what text/html may hold
TAGS = set("a b blockquote br button caption code del details div em hr img li ol p pre small span strong summary table tbody td th thead tr ul".split())
ATTRIBUTES = set("alt aria-hidden aria-label class colspan data-path data-role data-value href open rel role rowspan scope src style target title type".split())
STYLES = ("color:", "margin", "white-space:", "overflow", "opacity:", "max-", "display:block", "font-size:", "background:#fff")


class Reader(HTMLParser):
    "Raises on anything that is not on the list"
    def handle_starttag(self, tag, attrs):
        assert tag in TAGS, tag
        for name, value in attrs:
            assert name in ATTRIBUTES, name
            if name == "href": assert value.startswith(("http://", "https://", "mailto:")), value
            if name == "src" and value.startswith("data:image/svg+xml;base64,"): self.handle_svg(value.partition(",")[2])
            elif name == "src": assert value.startswith("data:image/") and "svg" not in value.partition(",")[0], value
            if name == "style": assert all(s.strip().startswith(STYLES) for s in value.split(";") if s.strip()), value
    def handle_svg(self, data):
        for node in ElementTree.fromstring(base64.b64decode(data)).iter():
            assert node.tag.rpartition("}")[2] not in ("script", "foreignObject", "a", "animate", "set", "iframe"), node.tag
            for name, value in node.attrib.items(): assert not name.startswith("on") and (not name.endswith("href") or value[0] == "#"), (name, value)
    def handle_decl(self, decl): raise AssertionError(decl)
    def handle_comment(self, data): raise AssertionError(data)
    def handle_pi(self, data): raise AssertionError(data)
