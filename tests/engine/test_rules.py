"Rules fail closed: what cannot be said asks, a value has one text, a path is the file that is opened, and a rule that never fits is an error."
import asyncio, functools, os

import pytest

from agentnb import Agent, Rule, Scripted, call, tool
from agentnb.engine.policy import evaluate, read_rules
from agentnb.core.messages import ToolSpec
from agentnb.toolbox.files import files
from agentnb.tools.functions import tool_from_schema
from agentnb.tools.matching import fits


@pytest.fixture
def folder(tmp_path, monkeypatch):
    for name in ("secrets", "notes"): (tmp_path/name).mkdir()
    (tmp_path/"secrets"/"a").write_text("SECRET")
    (tmp_path/"notes"/"b").write_text("a note")
    (tmp_path/"link").symlink_to("secrets")
    (tmp_path/"notes"/"inner").symlink_to("../secrets/a")
    monkeypatch.chdir(tmp_path)
    return tmp_path


SPELLED = ["secrets/a", "./secrets/a", "secrets//a", "secrets/./a", "notes/../secrets/a", "secrets/../secrets/a", "secrets/sub/../a", "{}/secrets/a",
    "{}/notes/../secrets/a", "link/a", "./link/a", "notes/inner", "Secrets/a", "SECRETS/A", "\uff53ecrets/a", "secrets", "secrets/", "../{name}/secrets/a"]


def spelled(path, folder): return path.format(folder, name=folder.name)


@tool(read_only=True)
def read(path: str) -> str:
    "Read a file as it is named"
    return open(path).read()


@tool(read_only=True, scopes=["fs:read:{path:path}"])
def read_scoped(path: str) -> str:
    "Read a file, and say so"
    return open(path).read()


def heard(made, policy, given):
    run = Agent(Scripted([given, "done"]), made, store="memory:", policy=policy).run("go")
    step = asyncio.run(run.until())
    return "asked" if step.kind == "request" else next(str(m.failure or m.content) for m in run.tip.messages if m.role == "tool")


@pytest.mark.parametrize("path", SPELLED)
@pytest.mark.parametrize("which", [read, read_scoped])
def test_a_denied_folder_is_denied_under_all_its_names(path, which, folder):
    said = heard([which], [Rule(tool="read*", args={"path": "secrets/*"}, effect="deny"), Rule(effect="allow")], call(which.name, path=spelled(path, folder)))
    assert "The policy does not allow this call" in said


@pytest.mark.parametrize("path", [p for p in SPELLED if p not in ("secrets/", "secrets")])
def test_an_allowed_folder_lets_nothing_out(path, folder):
    tools = [tool(read.fn, read_only=False)]
    policy = [Rule(tool="read", args={"path": "notes/*"}, effect="allow")]
    for name in (path, f"notes/../{path}"): assert heard(tools, policy, call("read", path=spelled(name, folder))) == "asked"
    assert heard(tools, policy, call("read", path="./notes//b")) == "a note"


@pytest.mark.parametrize("path", ["a", "./a", "b/../a", "A"])
def test_a_path_begins_in_the_root_of_its_tools(path, folder):
    "Of the folder as the tools see it, and as the working folder does"
    for glob in ("a", "secrets/a", f"{folder}/secrets/*"):
        policy = [Rule(tool="read_file", args={"path": glob}, effect="deny")]
        assert "The policy does not allow this call" in heard(files("secrets"), policy, call("read_file", path=path))


@pytest.mark.parametrize("glob, value, yes", [
    ("True", True, True), ("true", True, True), ("true", "true", True), ("True", "True", True), ("False", False, True),
    ("None", None, True), ("null", None, True),
    ("1", 1, True), ("1.0", 1, False), ("true", 1, False), ("1", True, False),
    ('{"a": 1}', {"a": 1}, True), ('["x", "y"]', ["x", "y"], True), ("x", ["x"], False),
    ("https://a.com/*", "https://a.com/x/../y", True), ("*ü*", {"k": "ü"}, True), ("feature/*", "feature/x", True), ("a b", "a b", True)])
def test_a_value_has_one_text(glob, value, yes): assert fits(glob, value) is yes


def test_a_denying_rule_sees_the_items_of_a_list():
    spec = ToolSpec(name="run")
    for glob in ("rm", "*rm*", '*"rm"*'):
        assert evaluate([Rule(tool="run", args={"argv": glob}, effect="deny")], call("run", argv=["rm", "-r"]), spec).effect == "deny"
    assert evaluate([Rule(tool="run", args={"argv": "ls"}, effect="allow")], call("run", argv=["ls", "; rm"]), spec).effect == "ask"


async def later(args): return True


class Later:
    async def __call__(self, args): return True


class Bool:
    def __bool__(self): return True


class Spoofed: "Not a truth value"


Spoofed.__name__ = "bool"


def ends(args): raise SystemExit(0)


@pytest.mark.parametrize("answer", [None, 1, 0, "yes", "", [], Bool(), Spoofed(), lambda: True, NotImplemented, float("nan")])
@pytest.mark.parametrize("effect", ["allow", "deny"])
def test_an_answer_that_is_no_bool_asks(answer, effect):
    rules = [Rule(tool="pay", when=lambda args: answer, effect=effect), Rule(effect="allow")]
    assert evaluate(rules, call("pay", cents=1), ToolSpec(name="pay")).effect == "ask"


@pytest.mark.parametrize("when", [later, Later(), functools.partial(later), lambda args: later(args), ends, lambda: True, lambda args: args["no such"]])
@pytest.mark.filterwarnings("ignore:coroutine")
def test_a_predicate_that_cannot_answer_is_refused_or_asks(when):
    try: rules = [Rule(tool="pay", when=when, effect="allow"), Rule(effect="allow")]
    except TypeError as e:
        assert "asynchronous" in str(e)
        return
    assert evaluate(rules, call("pay", cents=1), ToolSpec(name="pay")).effect == "ask"


@tool
def pay(cents: int, force: bool = False) -> str:
    "Pay"
    return "paid"


DENY = dict(effect="deny")


@pytest.mark.parametrize("policy, said", [
    ([Rule(tool="pay", args={"cent": "1"}, **DENY)], "argument cent"), ([Rule(tool="pay", args={"cent": "1"}, effect="allow")], "argument cent"),
    ([Rule(args={"path": "secrets/*"}, **DENY)], "argument path"), ([Rule(tool="p*", args={"to": "bob"}, effect="ask")], "argument to"),
    ([Rule(tool="pya", **DENY)], "Is pay meant"), ([Rule(tool="Pay", **DENY)], "Is pay meant"),
    ([Rule(tool="pay", args={"force": "yes"}, **DENY)], "which it never is"), ([Rule(tool="pay", args={"force": "1"}, **DENY)], "which it never is"),
    ([Rule(effect="allow"), Rule(tool="pay", **DENY)], "never does"),
    ([Rule(tool="pay", effect="ask"), Rule(tool="pay", args={"cents": "1"}, **DENY)], "never does")])
def test_a_rule_that_never_fits_is_an_error_when_the_agent_is_made(policy, said):
    with pytest.raises(ValueError, match=f"Agent\\(agent\\): .*{said}"): Agent(Scripted([]), [pay], store="memory:", policy=policy)


def test_rules_that_can_fit_are_none():
    open_ended = tool_from_schema("send", "Send", dict(type="object", properties={}, additionalProperties=True))
    policy = [Rule(tool="pay", args={"force": "True"}, **DENY), Rule(tool="send", args={"to": "bob"}, **DENY), Rule(args={"cents": "1"}, **DENY),
        Rule(tool="pay", effect="allow", when=lambda args: True), Rule(tool="pay", **DENY), Rule(tool="another_agents_tool", **DENY)]
    Agent(Scripted([]), [pay, open_ended], store="memory:", policy=policy)


@pytest.mark.parametrize("line", ["pay(cents)", "pay(cents:)", "pay(: 1)", "pay(cents: 1, cents: 2)", "pay(cents: 1,)", "pay(cents: 1", "pay cents",
    "@destructve", "cost:a", "cost:1.2.3", "scope:", "", "pay(cents: 1) x"])
def test_a_line_that_cannot_be_read_is_an_error(line):
    with pytest.raises(ValueError, match="write for example"): read_rules({line: "deny"})


@pytest.mark.parametrize("effect", ["", "Deny", "denied", "deny never", "allow ask"])
def test_an_effect_that_cannot_be_read_is_an_error(effect):
    with pytest.raises(ValueError, match="write for example"): read_rules({"pay": effect})


@pytest.mark.parametrize("template, args", [("fs:{path:path}", {"path": None}), ("db:{opts[name]}", {"opts": {}}), ("x:{path}", {"path": None}),
    ("run:{argv[0]}", {"argv": ""}), ("fs:{path:path}", {}), ("net:{url:host}", {"url": "http://[x"})])
@pytest.mark.parametrize("grant", [None, ["*"], ["fs:*", "run:*", "db:*", "x:*", "net:*"]])
def test_a_scope_that_cannot_be_filled_in_is_refused(template, args, grant):
    name = template.partition("{")[2].partition("}")[0].partition(":")[0].partition("[")[0]
    act = tool_from_schema("act", "Act", dict(type="object", properties={name: {}}), lambda **given: "done", scopes=[template])
    made = Agent(Scripted([call("act", **args), "done"]), [act], store="memory:", policy=[Rule(effect="allow")], grant=grant)
    run = made.run("go")
    assert asyncio.run(run.wait()) == "done"
    said = next(str(m.failure or m.content) for m in run.tip.messages if m.role == "tool")
    assert "which cannot be filled in from these arguments" in said


def test_a_scope_is_matched_where_it_leads(folder):
    spec = ToolSpec(name="write", scopes=("fs:write:{path:path}",))
    for path in ("secrets/a", "notes/../secrets/a", "./secrets/a"):
        assert evaluate([Rule(scope="fs:write:secrets/*", effect="deny")], call("write", path=path), spec).effect == "deny"
    assert evaluate([Rule(scope="fs:write:notes/*", effect="allow")], call("write", path="notes/../secrets/a"), spec).effect == "ask"
    assert os.getcwd() == str(folder)
