// The view of one run. It keeps only what is on the screen: everything else is asked of the kernel.
const make = (tag, props = {}, ...children) => {
  const node = Object.assign(document.createElement(tag), props);
  for (const [name, value] of Object.entries(props)) if (name.includes("-")) node.setAttribute(name, value);
  node.append(...children);
  return node;
};

const button = (label, key, click, main = false) => {
  const node = make("button", { type: "button", onclick: click, className: main ? "an-main" : "" }, label);
  if (key) node.append(make("kbd", { "aria-hidden": "true" }, key));
  node.setAttribute("aria-label", label);
  return node;
};

function row(r, select) {
  const what = make("span", { className: "an-what" }, make("b", {}, r.head)), note = make("small", { className: "an-note", title: r.note }, r.note);
  const icon = make("span", { "data-tone": r.tone, "aria-hidden": "true" }, r.icon);
  return make("li", { role: "option", tabIndex: -1, onclick: () => select(r.index), "data-index": r.index, "aria-selected": "false" },
    make("span", { className: "an-n" }, String(r.index)), icon, what, make("small", { className: "an-side" }, r.side), note);
}

// One open request: its arguments as fields, and the ways to answer it.
function card(request, send) {
  const fields = Object.entries(request.args).map(([name, value]) => {
    const text = typeof value === "string" ? value : JSON.stringify(value);
    const input = make("textarea", { value: text, rows: Math.min(6, 1 + Math.floor(text.length / 60)), "aria-label": name });
    return { name, value, text, input };
  });
  const problem = make("div", { className: "an-problem", hidden: true, role: "alert" });
  const reason = make("textarea", { rows: 1, placeholder: { answer: "your answer", outcome: "its result, if it happened", approve: "why not, or what else to do", repeat: "its result, or why not again" }[request.about], "aria-label": "Message" });
  const decide = (verdict, extra = {}) => send({ type: "decide", request: request.id, verdict, ...extra });
  const approve = () => {
    const args = {};
    for (const f of fields) {
      if (f.input.value === f.text) continue;
      try { args[f.name] = typeof f.value === "string" ? f.input.value : JSON.parse(f.input.value); }
      catch (e) { problem.hidden = false; problem.textContent = `${f.name}: ${e.message}`; f.input.focus(); return; }
    }
    decide("approve", { args });
  };
  const say = verdict => () => decide(verdict, { message: reason.value });
  const [main, ...others] = {
    approve: [button("Approve", "a", approve, true), button("Reject", "x", say("reject"))],
    answer: [button("Answer", "", say("answer"), true), button("Stop the run", "", say("abort"))],
    repeat: [button("Use its result", "", () => decide("answer", { message: reason.value || "It was made already." }), true),
      button("Make it again", "", approve), button("Reject", "", say("reject"))],
    outcome: [button("It happened", "", () => decide("answer", { message: reason.value || "It happened." }), true),
      button("It did not: call it now", "", approve), button("Skip", "", say("reject"))],
  }[request.about];
  if (request.about === "approve") for (const f of fields) f.input.oninput = () => { main.firstChild.textContent = fields.some(g => g.input.value !== g.text) ? "Approve with changes" : "Approve"; };
  const node = make("div", { className: "an-ask", role: "group", "aria-label": `Request: ${request.question}`, "data-request": request.id },
    make("strong", {}, request.about === "approve" ? `Call ${request.tool}?` : request.question),
    make("div", { className: "an-muted" }, [request.does && `${request.does}.`, request.sure != null && `The model was ${Math.round(request.sure * 100)} % sure.`].filter(Boolean).join(" ")),
    ...(request.preview ? [make("pre", { className: "an-preview" }, request.preview)] : []),
    make("div", { className: "an-args" }, ...(request.about === "answer" ? [] : fields.flatMap(f => [make("span", { className: "an-muted" }, f.name), f.input]))),
    problem, reason, make("div", { className: "an-buttons" }, main, ...others,
      make("span", { className: "an-muted" }, "also: ", make("code", {}, request.about === "approve" ? "run.pending[0].approve()" : "run.pending[0].answer(...)"))));
  return { node, approve, reject: () => others[0].click(), about: request.about };
}

function render({ model, el }) {
  const send = message => model.send(message);
  const controls = { step: button("Step", "s", () => send({ type: "step" }), true), request: button("To request", "r", () => send({ type: "request" })),
    run: button("Run", "g", () => send({ type: "run" })), pause: button("Pause", "p", () => send({ type: "pause" })) };
  const title = make("span", { className: "an-title" }), status = make("span", { className: "an-status", role: "status" });
  const place = make("span", { className: "an-muted" }), totals = make("span", { className: "an-muted" });
  const problem = make("div", { className: "an-problem", role: "alert", hidden: true });
  const list = make("ol", { role: "listbox", "aria-label": "Steps", tabIndex: 0 });
  const speech = make("div", { className: "an-speech", hidden: true, "aria-label": "What the model is saying", "aria-live": "off" });
  const asks = make("div"), tabs = make("div", { className: "an-tabs", role: "tablist" }), pane = make("div", { role: "tabpanel", tabIndex: 0 });
  const root = make("div", { className: "agentnb an-stepper", role: "region", "aria-label": "Agent run", tabIndex: -1, "data-lm-suppress-shortcuts": "true" },
    make("div", { className: "an-row" }, title, status, make("span", { className: "an-space" }), place),
    make("div", { className: "an-row", role: "toolbar", "aria-label": "Step through the run" }, ...Object.values(controls), make("span", { className: "an-space" }), totals),
    problem, make("div", { className: "an-body" }, list, make("div", { className: "an-detail" }, asks, speech, tabs, pane)));
  let selected = -1, shown = {}, tab = "Step", cards = [], following = true;

  const select = (index, keep = false) => {
    if (index < 0 || index >= list.children.length) return;
    following = keep || index === list.children.length - 1;
    list.children[selected]?.setAttribute("aria-selected", "false");
    selected = index;
    list.children[index].setAttribute("aria-selected", "true");
    list.children[index].scrollIntoView({ block: "nearest" });
    send({ type: "select", index });
  };
  const paint = () => {
    tabs.replaceChildren(...Object.keys(shown).map(name => {
      const b = make("button", { type: "button", role: "tab", onclick: () => { tab = name; paint(); } }, name);
      b.setAttribute("aria-selected", String(name === tab));
      return b;
    }));
    pane.innerHTML = shown[tab] ?? "";   // made by the kernel, where text from models and tools is escaped
  };
  const head = () => {
    const h = model.get("head");
    title.textContent = h.title; status.textContent = h.words; status.dataset.status = h.status;
    place.textContent = `run ${h.run_id.slice(0, 4)}…${h.run_id.slice(-4)} · ${h.iteration}`; place.title = h.run_id; totals.textContent = h.totals;
    controls.step.disabled = controls.request.disabled = !h.step; controls.run.disabled = !h.run; controls.pause.disabled = !h.pause;
    problem.hidden = !h.problem; problem.textContent = h.problem;
    const open = h.requests.map(r => r.id).join();
    if (open !== cards.map(c => c.node.dataset.request).join()) {
      cards = h.requests.map(r => card(r, send));
      asks.replaceChildren(...cards.map(c => c.node));
    }
  };
  const received = m => {
    if (m.type === "rows") {
      if (m.fresh) list.replaceChildren();
      for (const r of m.rows) if (r.index === list.children.length) list.append(row(r, select));
      if (following) select(list.children.length - 1, true);
    } else if (m.type === "speech") {   // text on its way: appended in place, replaced by the step when it is there
      if (m.start === 0) speech.replaceChildren();
      speech.append(m.text);
      speech.hidden = !speech.textContent;
      speech.scrollTop = speech.scrollHeight;
    } else if (m.type === "detail" && m.index === selected) { shown = m.tabs; paint(); }
  };
  const keys = { s: controls.step, r: controls.request, g: controls.run, p: controls.pause };
  root.onkeydown = e => {
    if (e.target.matches("textarea, input") || e.ctrlKey || e.metaKey || e.altKey) return;
    if (e.key === "ArrowDown" || e.key === "ArrowUp") select(selected + (e.key === "ArrowDown" ? 1 : -1));
    else if (keys[e.key]) { if (!keys[e.key].disabled) keys[e.key].click(); }
    else if (e.key === "a" && cards[0] && cards[0].about === "approve") cards[0].approve();
    else if (e.key === "x" && cards[0] && cards[0].about === "approve") cards[0].reject();
    else return;
    e.preventDefault(); e.stopPropagation();
  };
  model.on("change:head", head);
  model.on("msg:custom", received);
  head();
  el.append(root);
  send({ type: "ready" });
  return () => { model.off("change:head", head); model.off("msg:custom", received); };
}
export default { render };
