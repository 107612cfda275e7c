# ruff: noqa: E501
"""Much text, of the sorts that have been slow: a seed, again and again."""
import time

from agentnb.tools.contract import ToolError

MB = 1_000_000
WITHIN = 2.0  # seconds of a processor that is as fast as `REFERENCE` says, twice what a quiet one takes at most; what is quadratic takes minutes
REFERENCE = 0.023  # seconds that it takes to add 300,000 squares

SEEDS = ["<pre> ", " ", " \n", "-", "- ", "*", "**a ", "_a ", "`", "```\n", "~~~", "[", "[a](", "|", "| ", ">", "#", "<", "<a ", "<a href='", "<!--", "<![CDATA[",
    "<![x[", "<?", "</p", "<p>", "<svg></b>", "<style>", "<title>", "<a>", "&", "&#x", "&notit;", "{", "[{", "{\"a\":", "\\u0000", "<tool_call>", "<parameter=a>",
    "<parameter=", "<|im_end|>", "</s>", "\x1b[0;", "\x1b]a", "\x00", "\u202e", "\ud800", ":", ": ", "“", "„", "'a' , ", "'a',,", "1. ", "  - a\n", "http://", "<metadata ",
    "<!DOCTYPE ", "data: {\n", "a\n"]


def grown(seed, size=MB):
    "A text of this size as it is written down: half a surrogate pair is no text, and takes six letters"
    times = size // len(seed.encode("ascii" if not seed.isascii() and "\ud800" in seed else "utf-8", "backslashreplace")) + 1
    return (seed * times)[:size]


def taken(act, said):
    "Seconds of the processor"
    began = time.process_time()
    try: act(said)
    except (ToolError, ValueError): pass
    return time.process_time() - began


def slowness():
    "How much slower than the reference this processor is now: others use it too"
    began = time.process_time()
    sum(i * i for i in range(300_000))
    return max((time.process_time() - began) / REFERENCE, 1.0)


def is_quick(act, said): return any(taken(act, said) < WITHIN * slowness() for _ in range(3))


def slow_seeds(act, seeds=SEEDS):
    "Those that are slow in a small text already, as what is quadratic is, or in a megabyte of the slowest"
    small = [(seed, taken(act, grown(seed, 20_000))) for seed in seeds]
    slow = [seed for seed, seconds in small if seconds >= 0.3 and taken(act, grown(seed, 20_000)) >= 0.3 * slowness()]
    worst = max(small, key=lambda s: s[1])[0]
    return slow or ([] if is_quick(act, grown(worst)) else [worst])
