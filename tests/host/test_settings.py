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
