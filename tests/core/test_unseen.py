"""What is not seen in a text is said, what people write is left alone, and no text takes long."""
import time

import pytest

from agentnb.core.unseen import reveal, unseen

HIDDEN = ["a\u200db", "\u3164", "x\ufe0f", "a\u034fb", "\U000e0041bc",
    "so\u00adft", "a\rb", "a\u2028b", "\u2066x\u2069", "a\x1b[2Kb", "a\x00", "\ud800", "a\u2800b", "\u202eabc", "a\ue000", "rm\u200b", "1\u200c2"]
ALIKE = ["g\u043e\u043egle", "1\u09ea", "\U0001d41admin", "\u212aey", "a\u00a0b", "\u05d0b1", "a" + "\n" * 40 + "b", "–force", "\u0440\u0430\u0443", "\uff52m",
    "rm ‘x’", "a\u2215etc", "l\u0251st", "a\u02bcb", "x\u037e y",
    " " * 200 + "x", "r\u2019f"]
PLAIN = ["", "restart checkout", "don’t restart the café’s server", "Привет, мир", "Он сказал: нет", "Καλημέρα", "Tシャツを買う",
    "12 μs, Δt, 5 m²", "👩\u200d🔧 ❤️ 1️⃣ 🏳️\u200d🌈", "naïve Łódź — über", "می\u200cخواهم",
    "l’eau d’Evian", "x = [1, 2]\n\ty", "e\u0301te\u0301", "שלום", "北京，你好！", "the boss’ car", "50 °C ± 2 → ok",
    "İstanbul ışık", "Bakı şəhəri", "한국어 text", "क्\u200dष"]


@pytest.mark.parametrize("text", HIDDEN)
def test_what_leaves_no_mark_is_said_and_written_out(text):
    assert "not seen" in unseen(text) and reveal(text) != text and not unseen(reveal(text)), ascii(text)


@pytest.mark.parametrize("text", ALIKE)
def test_what_is_taken_for_something_else_is_said(text): assert unseen(text), ascii(text)


@pytest.mark.parametrize("text", PLAIN)
def test_what_people_write_is_left_alone(text): assert (unseen(text), reveal(text)) == ("", text)


@pytest.mark.parametrize("text", ["\u202e", "é", "а b", " ", "’s", "🔧\u200d", "a\u200d", "\n \n", "“x” "])
def test_no_text_takes_long(text):
    "Twice as much takes twice as long, or nearly"
    def took(size):
        began, piece = time.perf_counter(), text * (size//len(text))
        unseen(piece), reveal(piece)
        return time.perf_counter() - began
    took(1000)
    assert min(took(200_000), took(200_000)) < 8 * max(took(50_000), 0.005)
