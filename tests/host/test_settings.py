"""The settings file says everything there is to set, and a wrong variable is named."""
import pytest
from places import ROOT

from agentnb.host.settings import FREE_SECTIONS, Settings, SettingsError, load_settings


def test_the_settings_file_is_complete_and_true():
    written, meant = load_settings(ROOT, environ={}), Settings()
    assert written.source == ROOT/"settings.ini"
    assert written.model_copy(update={"source": None}) == meant
    text = (ROOT/"settings.ini").read_text()
    assert [f for f in Settings.model_fields if f not in ("source", *FREE_SECTIONS) and f"AGENTNB_{f.upper()}" not in text] == []


@pytest.mark.parametrize("name, value, text", [
    ("AGENTNB_MAX_ITERATIONS", "0", "environment variable AGENTNB_MAX_ITERATIONS: Input should be greater than 0, got '0'"),
    ("AGENTNB_BUDGET_USD", "much", "environment variable AGENTNB_BUDGET_USD"), ("AGENTNB_UNATTENDED", "yes", "environment variable AGENTNB_UNATTENDED")])
def test_a_wrong_variable_is_named(name, value, text):
    with pytest.raises(ValueError) as e: load_settings(ROOT, environ={name: value})
    assert text in str(e.value)


def test_files_of_others_and_from_above_the_repository_do_not_count(tmp_path, monkeypatch):
    from types import SimpleNamespace

    from agentnb.host import settings as page
    inner = tmp_path/"repository"/"inner"
    inner.mkdir(parents=True)
    (tmp_path/"settings.ini").write_text("[agent]\nunattended = approve\n")
    assert page.find_settings(inner) == tmp_path/"settings.ini"
    assert page.load_settings(inner, {"AGENTNB_TRUST_SETTINGS": "0"}).unattended == "wait" and page.load_settings(inner, {}).unattended == "approve"
    monkeypatch.setenv("HOME", str(tmp_path/"repository"))
    assert page.find_settings(inner) is None
    monkeypatch.setenv("HOME", "/nowhere")
    (tmp_path/"repository"/".git").mkdir()
    assert page.find_settings(inner) is None
    (inner.parent/"settings.ini").write_text("[agent]\nunattended = approve\n")
    assert page.find_settings(inner) == inner.parent/"settings.ini"
    theirs = SimpleNamespace(stat=lambda: SimpleNamespace(st_uid=4242))
    assert not page._is_own(theirs) and page._is_own(inner.parent/"settings.ini")


@pytest.mark.parametrize("line", ["openai = https://x.example/v1", "OpenAI = https://x.example/v1", "openaı = https://x.example/v1",
    "groq = http://api.groq.com/openai/v1",
    "openai = https://api.openai.com@x.example/v1", "openai = https://api.openai.com.x.example/v1", "openai = https://api.openai.com:8443/v1",
    "openai = http://127.0.0.1:9/v1", "anthropic = https://x.example", "together = //x.example/v1", "deepseek = https://[x/v1", "openai = a b c"])
def test_a_file_sends_no_key_of_a_provider_elsewhere(tmp_path, line):
    (tmp_path/"settings.ini").write_text(f"[agent]\nmax_iterations = 3\n\n[servers]\n{line}\n")
    said = r"settings.ini, line 5 \[servers\].*(name the key behind the address|write an address)"
    with pytest.raises(SettingsError, match=said): load_settings(tmp_path, {})
    assert load_settings(tmp_path, {"AGENTNB_TRUST_SETTINGS": "0"}).max_iterations == 10


@pytest.mark.parametrize("line, variable", [("openai = https://x.example/v1 OPENAI_API_KEY", "OPENAI_API_KEY"),
    ("openai = https://x.example/v1 X_KEY", "X_KEY"), ("openai = https://api.openai.com/v2", "OPENAI_API_KEY"),
    ("mycorp = https://x.example/v1", "MYCORP_API_KEY"),
    ("vllm = http://box:8000/v1", "VLLM_API_KEY")])
def test_a_key_that_stands_beside_an_address_goes_there(tmp_path, monkeypatch, line, variable):
    from agentnb.models.openai import OpenAI
    (tmp_path/"settings.ini").write_text(f"[servers]\n{line}\n")
    monkeypatch.chdir(tmp_path)
    for name in ("OPENAI_API_KEY", "X_KEY", "MYCORP_API_KEY", "VLLM_API_KEY"): monkeypatch.setenv(name, f"the-value-of-{name}-1")
    model = OpenAI("small", line.partition(" ")[0], api="chat")
    assert model.key_name == variable and model._key == f"the-value-of-{variable}-1" and model.url == line.split()[2]


def test_what_a_file_loosens_is_said_once_with_its_path(tmp_path, monkeypatch):
    from agentnb import Agent, Scripted
    (tmp_path/"settings.ini").write_text("[agent]\nunattended = approve\n[store]\nurl = postgresql://me:hunter22@elsewhere.example/x\n[policy]\n"
        "send(to: *@me) = allow: mine\n"
        "other = ask\n[servers]\nmycorp = https://x.example/v1\n[local]\nendpoints = http://127.0.0.1:1/v1 http://far.example/v1\n")
    monkeypatch.chdir(tmp_path)
    with pytest.warns(UserWarning) as said:
        for _ in range(3): Agent(Scripted([]), store="memory:")
    text = "\n".join(str(w.message) for w in said)
    assert len([w for w in said if "settings.ini" in str(w.message)]) == 1 and str(tmp_path/"settings.ini") in text
    assert "hunter22" not in text and "other" not in text
    for part in ("approves every call where nobody", "runs at elsewhere.example", "allows send(to: *@me)", "mycorp at x.example with MYCORP_API_KEY",
        "at far.example"):
        assert part in text
    monkeypatch.setenv("AGENTNB_UNATTENDED", "wait")
    assert "approves" not in " ".join(load_settings(tmp_path).loosened)
    (tmp_path/"settings.ini").write_text("[agent]\nmax_iterations = 3\n[policy]\nsend = deny\n[store]\nurl = sqlite:///x.db\n")
    assert load_settings(tmp_path).loosened == ()
