"""The settings file says everything there is to set, and a wrong variable is named."""
import pytest
from places import ROOT

from agentnb.host.settings import FREE_SECTIONS, Settings, load_settings


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
