"""What `audit` finds in a shop's 16 tools, in 1,655 published schemas, in a toolbox where each flaw is planted once, and in recorded runs."""
import asyncio, copy, re, subprocess, sys
from collections import Counter
from functools import cache
from typing import Any, Literal

import pytest

from agentnb import Agent, Rule, Scripted, ToolError, call, open_store, tool
from agentnb.metrics.audits import audit
from agentnb.core.messages import ToolSpec
from bfcl_data import ROWS, toolboxes
from retail import load, retail_tools


def checks(found): return Counter(f.check for f in found.findings)


def by_tool(found, check): return {f.tool for f in found.findings if f.check == check}


def test_the_shop_as_its_authors_describe_it():
    "Schemas say nothing of effects: the six tools that look things up and the four that set things do not say so; else nothing"
    raw = [ToolSpec(name=f["name"], description=f["description"], parameters=f["parameters"]) for f in (d["function"] for d in load("tools"))]
    found = audit(raw)
    assert checks(found) == dict(not_read_only=6, not_idempotent=4)
    assert by_tool(found, "not_read_only") == {n for n in (s.name for s in raw) if n.startswith(("get_", "list_", "find_"))}
    assert by_tool(found, "not_idempotent") == {n for n in (s.name for s in raw) if n.startswith("modify_")}
    assert 2_000 < found.tokens < 3_000 and found.tools == 16


def test_the_shop_as_agentnb_tools_has_nothing_to_flag():
    assert audit(retail_tools(load("db"))).findings == ()


@cache
def published(): return list({t.spec.model_dump_json(): t.spec for tools in toolboxes() for t in tools}.values())


def test_published_schemas_read_as_tools():
    "Each by itself: 1,257 different tools; 302 findings about hints, which schemas do not carry, and 87 others"
    counts = Counter(f.check for spec in published() for f in audit([spec]).findings)
    assert len(published()) == 1257
    assert counts == dict(not_read_only=296, not_idempotent=6, stringly_typed=59, free_form=13, many_purposes=5, too_many_parameters=4, thin_description=4,
        boolean_trap=2)


@pytest.mark.parametrize("check, names", [
    ("many_purposes", {"todo", "todo_manager_handle_action", "database_modify_columns", "ThinQ_Connect"}),
    ("boolean_trap", {"five_factor_model_analyse", "triangle_properties_get"}),
    ("thin_description", {"find_critical_points", "whole_foods_order", "perform_string_reverse", "cards_shuffle_deck"}),
    ("free_form", {"poker_game_winner", "reverse_input", "extractor_extract_information", "regression_model_predict", "calculate_average",
        "random_forest_train", "waste_calculation_calculate", "calculate_standard_deviation", "requests_get", "generate_contract", "process_data",
        "highest_grade", "calculate_distance"})])
def test_what_is_flagged_in_published_schemas_was_agreed_with(check, names):
    "Read one by one by a person; new words in the rules show here"
    assert {spec.name for spec in published() if any(f.check == check for f in audit([spec]).findings)} == names


LISTED = ["The unit of distance. Options: 'miles', 'kilometers'.", "Type of the scale, either major or minor.",
    "The temperature unit ('Celsius' or 'Fahrenheit').",
    "Can be 'list' for a list of factors or 'dictionary' for counts.", "Sort order (asc/desc)", "One of `low`, `medium`, `high`", "must be open or closed."]
NOT_LISTED = ["The city, such as 'Rome' or 'Oslo'.", "The name or symbol of the element.", "Language, e.g. 'en' or 'es'.",
    "In the format 'YYYY-MM-DD' or 'DD.MM.YYYY'.",
    "For 'add' and 'update', the new text.", "The location of the shop (city, state)", "A user's email or phone", "The second line, such as 'Apt 1' or ''.",
    "Names like 'a', 'b'", "Default is 'all'"]


@pytest.mark.parametrize("text, flagged", [*((t, True) for t in LISTED), *((t, False) for t in NOT_LISTED)])
def test_values_in_words(text, flagged):
    spec = ToolSpec(name="go", description="Go to a place now", parameters=dict(type="object", properties=dict(x=dict(type="string", description=text))))
    assert bool(by_tool(audit([spec]), "stringly_typed")) == flagged


def test_raw_schemas_are_rejected_by_providers():
    raw = [ToolSpec(name=f["name"], description=f["description"], parameters=f["parameters"]) for f in ROWS[0]["function"] + ROWS[1]["function"]]
    assert checks(audit(raw))["rejected_name"] == sum("." in s.name for s in raw) == 1
    assert checks(audit(raw))["rejected_schema"] == 2


def test_tools_that_were_made_to_be_told_apart_are_no_duplicates():
    "The candidates of one question are each other's distractors"
    pairs, found = 0, []
    for tools in toolboxes():
        specs = [t.spec for t in tools]
        pairs += len(specs)*(len(specs) - 1)//2
        if len(specs) > 1: found += [f for f in audit(specs).findings if f.check in ("near_duplicate", "alike_names")]
    assert pairs > 500 and not found


def test_the_same_tool_in_other_words_is_a_duplicate():
    def spec(name, text, *fields): return ToolSpec(name=name, description=text, parameters=dict(properties={f: dict(type="string") for f in fields}))
    same = [(spec("get_order", "Get an order by its id", "order_id"), spec("fetch_order_details", "Fetch the details of an order", "id")),
        (spec("search_docs", "Search the documentation", "query"), spec("find_documents", "Find documents", "text")),
        (spec("send_mail", "Send an email to a person", "to", "body"), spec("post_email", "Send a mail to a person", "to", "text")),
        (spec("lookup_user", "Look a user up by the id", "user"), spec("read_users", "Look a user up by the id", "key"))]
    other = [(spec("get_user", "Get a user by id", "user_id"), spec("delete_user", "Delete a user by id", "user_id")),
        (spec("start_job", "Start a job by its id", "job_id"), spec("stop_job", "Stop a job by its id", "job_id")),
        (spec("get_store", "Stores near a place", "place"), spec("get_library", "Libraries near a place", "place"))]
    assert all(by_tool(audit(pair), "near_duplicate") for pair in same)
    assert not any(checks(audit(pair))["near_duplicate"] for pair in other)


def planted():
    "One tool for each flaw, otherwise without any"
    look, act = dict(read_only=True), dict(idempotent=True)
    @tool(**look)
    def read_invoice(
        number: str,  # as printed, such as 'R-17'
    ): "One invoice with its lines, by its printed number"
    @tool(**look)
    def fetch_invoice(
        number: str,  # as printed, such as 'R-17'
    ): "One invoice, by the number that is printed on it"
    @tool(**look)
    def weigh_parcel(
        parcel: str,
    ): "Weight of a parcel in grams, as measured at the counter"
    @tool(**look)
    def ping(
        host: str,  # name or address
    ): pass
    @tool(**look)
    def traceroute(
        host: str,  # name or address
    ): "Route"
    @tool(**act)
    def file_report(
        report: dict,  # what to file
    ): "Hand a finished report over to the auditors"
    @tool(**act)
    def store_reading(
        reading: Any,  # what the sensor said
    ): "Keep what a sensor said, for the nightly curve"
    @tool(**look)
    def convert_length(
        metres: float,  # how long
        into: str,  # one of 'feet', 'yards', 'miles'
    ): "A length in another unit, rounded to millimetres"
    @tool(**act)
    def manage_tickets(
        action: Literal["create", "close", "delete"],  # what is done
        ticket: str,  # which one
    ): "Work with the support desk's tickets"
    @tool(**act)
    def export_sheet(
        sheet: str,  # which one
        compressed: bool,  # as a zip archive
        hidden_rows: bool,  # with rows that are hidden
        headings: bool,  # with a first row of names
    ): "Write a sheet to the export folder as comma-separated values"
    @tool(**act)
    def wire_money(
        account: str,  # whom to
        cents: int,  # how much
        confirmed: bool,  # true if the customer agreed
    ): "Move money from the customer to an account"
    return [read_invoice, fetch_invoice, weigh_parcel, ping, traceroute, file_report, store_reading, convert_length, manage_tickets, export_sheet, wire_money,
        *planted_hints()]


def planted_hints():
    @tool(idempotent=True)
    def place_booking(
        guest: str,  # whose name
        room: str,  # number
        arrives: str,  # date, such as '2026-05-04'
        leaves: str,  # date, such as '2026-05-06'
        adults: int,  # how many
        children: int,  # how many
        breakfast: str,  # in words
        parking: str,  # number plate
        note: str,  # for the reception
    ): "Reserve a room for some nights"
    @tool
    def get_weather(
        city: str,  # such as 'Oslo'
    ): "Temperature and wind right now"
    @tool(read_only=True)
    def delete_draft(
        draft: str,  # which one
    ): "Throw an unsent letter away"
    @tool(destructive=False, idempotent=True)
    def cancel_trip(
        trip: str,  # which one
    ): "Call a journey off, without getting it back"
    @tool
    def set_thermostat(
        degrees: float,  # Celsius
    ): "How warm the office should be"
    @tool(read_only=True)
    def describe_everything(
        topic: str,  # in words
    ): pass
    describe_everything.spec = describe_everything.spec.model_copy(update={"description": "A long story about all topics. " * 200})
    long = ToolSpec(name="x" * 65, description="Does a thing that nobody else does", read_only=True)
    many = dict(type="object", properties=dict(n=dict(type="float", description="How many")))
    odd = ToolSpec(name="odd", description="Takes a type that is none", parameters=many)
    both = dict(sync_now="Bring both sides together", syncNow="Compare clocks with the server")
    alike = [ToolSpec(name=n, description=d, read_only=True) for n, d in both.items()]
    return [place_booking, get_weather, delete_draft, cancel_trip, set_thermostat, describe_everything, long, odd, *alike]


PLANTED = dict(near_duplicate={"read_invoice"}, undocumented_parameter={"weigh_parcel"}, no_description={"ping", "traceroute"},
    free_form={"file_report", "store_reading"}, stringly_typed={"convert_length"}, many_purposes={"manage_tickets"}, boolean_trap={"export_sheet"},
    self_approval={"wire_money"}, too_many_parameters={"place_booking"}, not_read_only={"get_weather"}, wrongly_read_only={"delete_draft"},
    not_destructive={"cancel_trip"}, not_idempotent={"set_thermostat"}, too_large={"describe_everything"}, rejected_name={"x" * 65},
    rejected_schema={"odd"}, alike_names={"sync_now"})


def test_a_bad_toolbox():
    "21 tools with 19 flaws: all are found, and nothing else"
    found = audit(planted())
    assert {check: by_tool(found, check) for check in checks(found)} == PLANTED
    assert len(found.findings) == 19 and found.tools == 21
    assert all(f.what and f.why and f.do for f in found.findings)
    assert [f.severity for f in found.findings] == sorted((f.severity for f in found.findings), key=["high", "medium", "low"].index)


def test_a_thin_description():
    @tool(read_only=True)
    def get_order_details(
        order: str,  # number
    ): "Gets the order details."
    assert checks(audit([get_order_details])) == dict(thin_description=1)


@pytest.mark.parametrize("tools, flagged", [(30, False), (60, True)])
def test_too_many_tokens_in_sum(tools, flagged):
    many = [ToolSpec(name=f"part{i}", description=f"Part {i}: " + f"word{i} "*110, read_only=True) for i in range(tools)]
    found = audit(many)
    assert (found.tokens > 10_000) == flagged and [f.severity for f in found.findings if f.check == "too_large" and not f.tool] == ["medium"]*flagged


def test_pydantic_models_are_looked_into():
    from pydantic import BaseModel, Field
    class Place(BaseModel):
        city: str = Field(description="Where")
        extra: dict = Field(default={}, description="More")
    @tool(idempotent=True)
    def visit(place: Place, tags: list[str], sizes: dict[str, int]): "Go to a place and look around"
    found = audit([visit])
    assert [f.what for f in found.findings if f.check == "free_form"] == ["Anything fits into place.extra."]
    assert [f.what for f in found.findings if f.check == "undocumented_parameter"] == ["No word about tags, sizes."]


def worked(store):
    "Runs of an agent whose model makes things up, whose tools fail, and whose human says no"
    @tool(read_only=True)
    def search(query: str, limit: int = 5): "Search"
    @tool(read_only=True)
    def flaky(n: int):
        "Fails for odd numbers"
        if n % 2: raise ToolError("unavailable", "no answer")
    @tool
    def pay(cents: int): "Pay"
    @tool
    def idle(): "Nothing"
    script = [[call("search", query="a", pages=3), call("search", query="b", limit="many"), call("search", q="c")], call("google", q="x"),
        *(call("flaky", n=n) for n in (1, 2, 3, 4, 5)), call("pay", cents=5), "Done."]
    agent = Agent(Scripted(script), [search, flaky, pay, idle], store=store, unattended="reject", policy=[Rule(tool="idle", effect="deny")])
    agent.run_sync("Go")
    return agent


@pytest.mark.parametrize("twice", [False, True])
def test_recorded_runs(tmp_path, twice):
    url = f"sqlite:///{tmp_path}/runs.db"
    for _ in range(1 + twice): agent = worked(url)
    found = audit(agent.tools, url)
    lived = {(f.tool, f.check): (f.what, f.severity) for f in found.findings if f.check in
        ("fails", "refused", "invented_arguments", "invalid_arguments", "never_used", "unknown_tool")}
    n = 1 + twice
    assert lived == {
        ("search", "invented_arguments"): (f"Models made up arguments: pages ({n}), q ({n}).", "medium" if n == 1 else "high"),
        ("search", "invalid_arguments"): (f"Arguments did not fit: limit ({n}), no query ({n}).", "medium" if n == 1 else "high"),
        ("flaky", "fails"): (f"{3*n} of {5*n} calls failed: unavailable ({3*n}).", "high"),
        ("pay", "refused"): (f"{n} of {n} calls {'was' if n == 1 else 'were'} refused.", "low" if n == 1 else "medium"),
        ("idle", "never_used"): (f"It was offered in {n} run{'s' if n > 1 else ''} and never called.", "low"),
        ("google", "unknown_tool"): (f"Models called it {n} time{'s' if n > 1 else ''}, and it is not there.", "low" if n == 1 else "medium")}
    assert found.runs == n


def test_runs_of_other_agents_and_forks_are_not_mistaken(tmp_path):
    "Steps that a fork shares count once, and another agent's tools are not unknown ones"
    store = open_store(f"sqlite:///{tmp_path}/runs.db")
    agent = worked(store)
    before = audit(agent.tools, store)
    run = agent.load(store.runs()[0])
    fork = run.fork(at=len(run.steps) - 2)
    asyncio.run(step(fork))
    after = audit(agent.tools, store)
    assert after.runs == 2 and after.findings == before.findings
    @tool(read_only=True)
    def other(): "Something else"
    Agent(Scripted([call("other"), "Done."]), [other], store=store).run_sync("Other")
    assert audit(agent.tools, store).findings == before.findings


async def step(run): return await run.step()


def test_a_clean_store_adds_nothing():
    @tool(read_only=True)
    def search_runbooks(
        query: str,  # words that a section holds
    ): "Sections of the runbooks, best first"
    agent = Agent(Scripted([call("search_runbooks", query="disk"), "Done."]), [search_runbooks], store="memory:")
    agent.run_sync("Go")
    found = audit(agent.tools, agent.store)
    assert found.findings == () and repr(found).endswith("1 run: nothing found)")


def test_it_is_shown_as_a_line_a_table_a_page_and_a_frame():
    found = audit(planted())
    assert re.fullmatch(r"Audit\(21 tools, ~[\d,]+ tokens: 6 high, 10 medium, 3 low\)", repr(found)), repr(found)
    assert len(str(found).splitlines()) == 20 and "delete_draft" in str(found)
    html = found._repr_html_()
    assert html.count("<tr>") == 20 and "<script" not in html and "<style" not in html and 'scope="row"' in html
    assert list(found.frame.columns) == ["tool", "check", "what", "why", "do", "severity"] and len(found.frame) == 19
    assert len(audit([]).frame) == 0 and repr(audit([])) == "Audit(0 tools, ~0 tokens: nothing found)"


def test_markup_in_a_description_stays_text():
    spec = ToolSpec(name="<img src=x>", description="<script>alert(1)</script>", parameters=dict(properties={"<b>": {}}))
    assert not re.search(r"<(img|script|b>)", audit([spec])._repr_html_().replace("<b style", ""))


def test_pandas_and_jsonschema_are_loaded_by_those_who_need_them():
    code = "import sys, agentnb.metrics.audits; print([m for m in ('pandas', 'jsonschema', 'IPython') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "[]"


def test_a_plain_function_and_a_dict_of_tools_are_read():
    def hello(name: str): "Greet someone by name"
    assert checks(audit([hello])) == dict(undocumented_parameter=1) == checks(audit(Agent(Scripted([]), [hello], store="memory:").tools))


def test_it_changes_nothing():
    tools = planted()
    before = [copy.deepcopy(getattr(t, "spec", t)) for t in tools]
    audit(tools)
    assert [getattr(t, "spec", t) for t in tools] == before
