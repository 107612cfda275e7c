// The view of one run. It keeps what is on the screen and nothing else: what it shows it asks of the kernel,
// what is clicked it tells the kernel. Text from models and tools arrives as text, or as HTML in which it was escaped.

const ROW = 26, AHEAD = 12, BATCH = 200, PATIENCE = 4000;

// ---- the steps: only the lines that can be seen are in the page

// What is listed: stretches of rows of the run, and of the runs whose rows are open under one of its own, to any depth.
function stretches(h) {
  const found = [];
  let top = 0;
  const put = (run, from, to, level, seen) => { if (to > from) { found.push({ run, from, to, level, seen, top }); top += to - from; } };
  const walk = (run, count, level, seen) => {
    let from = 0;
    for (const b of (h.nested ?? []).filter(b => b.of === run && b.at < count).sort((x, y) => x.at - y.at)) {
      put(run, from, b.at + 1, level, seen);
      from = Math.max(from, b.at + 1);
      if (level < 9) walk(b.run, b.count, level + 1, b.seen);
    }
    put(run, from, count, level, seen);
  };
  walk(h.run_id, h.count, 0, h.place + 1);
  return { found, total: top };
}

function timeline(send, look) {
  const rows = new Map(), asked = new Set(), nodes = new Map();
  const sheet = make("div", { className: "an-sheet", role: "presentation" }), end = make("div", { className: "an-cut", role: "presentation" });
  const list = make("ol", { className: "an-steps", role: "listbox", "aria-label": "Steps", tabIndex: 0 }, sheet);
  let head = { count: 0, place: -1, waiting: [] }, listed = { found: [], total: 0 }, since = 0, frame = 0;
  const id = `an-${Math.random().toString(36).slice(2)}`;

  const at = p => { const s = listed.found.findLast(s => s.top <= p); return { ...s, index: s.from + p - s.top }; };
  const line = (run, i) => { const s = listed.found.find(s => s.run === run && i >= s.from && i < s.to); return s ? s.top + i - s.from : -1; };
  const here = () => head.inside ? line(head.inside.run, head.inside.index) : line(head.run_id, head.place);
  const open = run => head.nested?.find(b => b.run === run);
  const fold = r => { for (const c of r.called ?? []) send({ type: "fold", run: c.run, of: r.run, at: r.index, open: !open(c.run) }); };
  const fill = (node, r) => {
    const split = /^(.*?(?:→|asks:) ?)(.+)$/.exec(r.head), child = r.called && r.kind === "intent";
    const again = split && r.note.startsWith(`${split[2]}(`) && r.note.slice(split[2].length + 1).replace(/\)\??$/, "");   // the head has said the tool's name
    const note = r.kind === "request" && again !== false ? "" : again || r.note;
    const what = make("span", { className: "an-what", title: r.note ? `${r.head}: ${r.note}` : r.head }, ...(split ? [split[1], make("b", {}, split[2])] : [child ? make("b", {}, r.head) : r.head]),
      note ? make("small", {}, ` ${note}`) : "");
    const icon = r.called ? make("span", { className: "an-icon an-fold", "aria-hidden": "true", title: "Open or close its rows", onclick: e => { fold(r); e.stopPropagation(); } })
      : make("span", { className: "an-icon", "data-tone": r.tone, "aria-hidden": "true" }, r.icon);
    node.replaceChildren(make("span", { className: "an-n" }, String(r.index)), icon,
      what, make("span", { className: "an-side" }, r.called ? make("span", { className: "an-chip an-child" }) : "", ...r.marks.map(m => make("span", { className: "an-chip" }, m)), make("small", {}, r.side)));
    node.ondblclick = () => fold(r);
    node.an = r;
  };
  const stands = (r, s) => {   // how a run stood when the row was looked at
    const [c] = r.called, b = open(c.run), ended = c.ends != null && c.ends < s.seen;
    if (b && b.seen < b.count) return `child · ${b.seen} of ${b.count} steps`;
    const words = ended ? c.words : c.ends == null && head.stands?.[c.run] || "under way";
    return r.called.length > 1 ? `${r.called.length} children` : words === "waiting for you" ? words : `child · ${words}`;
  };
  const dress = (node, p) => {
    const s = at(p), waits = head.waiting.find(w => w.run === s.run && w.index === s.index), beyond = s.index >= s.seen, r = node.an;
    node.setAttribute("aria-selected", String(p === here()));
    node.setAttribute("aria-setsize", head.nests ? s.to - s.from : listed.total);
    node.setAttribute("aria-posinset", head.nests ? s.index + 1 : p + 1);
    node.classList.toggle("an-beyond", beyond);
    if (head.nests) node.setAttribute("aria-level", s.level + 1);
    node.style.setProperty("--level", s.level);
    if (!r) return;
    if (r.called) {
      const is = r.called.some(c => open(c.run)), [chip, mark] = [node.querySelector(".an-child"), node.querySelector(".an-fold")];
      node.setAttribute("aria-expanded", String(is));
      mark.textContent = is ? "▾" : "▸";
      chip.textContent = beyond ? "child" : stands(r, s);
      chip.classList.toggle("an-asks", chip.textContent === "waiting for you");
    }
    node.querySelector(".an-side > small").textContent = waits ? `waiting ${clock(waits.age + (performance.now() - since) / 1000)}` : beyond ? "recorded" : r.called && !(r.called[0].ends < s.seen) ? "" : r.side;
  };
  const paint = () => {
    frame = 0;
    const from = Math.max(0, Math.floor(list.scrollTop / ROW) - AHEAD), to = Math.min(listed.total, Math.ceil((list.scrollTop + list.clientHeight) / ROW) + AHEAD), kept = new Set();
    for (let p = from; p < to; p++) {
      const { run, index } = at(p), key = `${run} ${index}`;
      kept.add(key);
      let node = nodes.get(key);
      if (!node) {
        node = make("li", { role: head.nests ? "treeitem" : "option", id: `${id}-${key.replace(" ", "-")}`, "data-index": index, "data-run": run, onclick: () => look(run, index) });
        nodes.set(key, node);
        sheet.append(node);
      }
      node.style.transform = `translateY(${p * ROW}px)`;
      if (rows.has(key) && node.an !== rows.get(key)) fill(node, rows.get(key));
      if (!rows.has(key)) ask(run, index);
      dress(node, p);
    }
    for (const [key, node] of nodes) if (!kept.has(key)) { node.remove(); nodes.delete(key); }
    const now = listed.total && here() >= 0 ? at(here()) : null;
    list.setAttribute("aria-activedescendant", (now && nodes.get(`${now.run} ${now.index}`)?.id) ?? "");
  };
  const ask = (run, i) => {
    const start = Math.floor(i / BATCH) * BATCH, key = `${run} ${start}`;
    if (asked.has(key)) return;
    asked.add(key);
    send({ type: "rows", run, start, stop: start + BATCH });
  };
  const soon = () => { frame ||= requestAnimationFrame(paint); };
  const show = p => {
    if (p * ROW < list.scrollTop) list.scrollTop = Math.max(0, p * ROW);
    else if ((p + 2) * ROW > list.scrollTop + list.clientHeight) list.scrollTop = (p + 2) * ROW - list.clientHeight;
  };
  list.onscroll = soon;
  const inside = p => p * ROW > list.scrollTop - ROW && p * ROW < list.scrollTop + list.clientHeight;
  let height = 0;   // a list that is not laid out yet has none, and cannot be scrolled
  const sizes = new ResizeObserver(() => { if (!height || list.clientHeight < height) show(here()); height = list.clientHeight; soon(); });
  sizes.observe(list);
  const place = h => `${h.inside?.run ?? ""} ${h.inside?.index ?? h.place}`;
  return {
    list,
    add(run, got) { for (const r of got) rows.set(`${run} ${r.index}`, { ...r, run }); paint(); },
    forget() { rows.clear(); asked.clear(); for (const node of nodes.values()) node.remove(); nodes.clear(); },
    heed(h) {
      const moved = h.count === head.count ? place(h) !== place(head) : head.place < 0 || inside(here()) || h.place < h.count - 1;   // new steps are followed by who looks at the last
      if (!!h.nests !== !!head.nests) { list.setAttribute("role", h.nests ? "tree" : "listbox"); for (const node of nodes.values()) node.remove(); nodes.clear(); }
      head = h; since = performance.now(); listed = stretches(h);
      if (end.parentNode !== sheet) sheet.append(end);
      sheet.style.height = `${(listed.total + 1) * ROW}px`;
      end.style.transform = `translateY(${listed.total * ROW}px)`;
      end.textContent = h.count === 0 ? "no steps yet" : h.ended ? "the end" : h.tape ? "recorded up to here" : "nothing beyond: live from here";
      if (moved) show(here());
      paint();
    },
    look(run, i) {
      head = run === head.run_id ? { ...head, inside: null, place: i, tape: i < head.count - 1 } : { ...head, inside: { run, index: i } };
      listed = stretches(head);
      show(here()); paint();
    },
    go(by) {   // so many lines on, whosever they are
      const p = Math.min(Math.max(here() + by, 0), listed.total - 1);
      if (p >= 0 && p !== here()) look(at(p).run, at(p).index);
    },
    fold() { const p = here(), s = p >= 0 && at(p), r = s && rows.get(`${s.run} ${s.index}`); if (r?.called) fold(r); },
    tick() { if (head.waiting.length) for (const w of head.waiting) { const p = line(w.run, w.index), node = nodes.get(`${w.run} ${w.index}`); if (node && p >= 0) dress(node, p); } },
    close() { sizes.disconnect(); cancelAnimationFrame(frame); },
    page: () => Math.max(1, Math.floor(list.clientHeight / ROW) - 1),
  };
}

// ---- small forms under the toolbar: breakpoints, a fork, more money

const KINDS = ["", "started", "model", "intent", "tool", "request", "decision", "edit", "note", "verdict", "finished"];

const breakpoints = (h, send) => make("ul", { className: "an-breaks", "aria-label": "Breakpoints" },
  ...h.breaks.map((b, i) => make("li", {}, make("code", {}, b), " ", button("Remove", () => send({ type: "clear_break", index: i })))));

const PANELS = {
  break(h, send, close) {
    const input = (name, placeholder) => make("input", { type: "text", "aria-label": name, placeholder });
    const tool = make("select", { "aria-label": "Tool" }, ...["", ...h.tools].map(t => make("option", { value: t }, t || "any")));
    const kind = make("select", { "aria-label": "Kind" }, ...KINDS.map(k => make("option", { value: k }, k || "any")));
    const args = input("Arguments", "service=checkout-*"), cost = input("Cost", "0.10"), error = make("input", { type: "checkbox", "aria-label": "Errors" });
    const add = () => send({ type: "add_break", tool: tool.value, kind: kind.value, args: args.value, cost: cost.value, error: error.checked });
    return ["Stop when", make("div", { className: "an-keep" }, labelled("tool is asked for", tool), labelled("with arguments", args), labelled("or a step is", kind), labelled("or the cost passes $", cost),
      labelled("or something fails", error)), breakpoints(h, send),
    make("div", { className: "an-buttons" }, button("Add", add, { main: true }), button("Close", close), make("span", { className: "an-muted" }, "also: ",
      make("code", {}, "run.breaks.append(Break(tool=…))"), ", with a function: ", make("code", {}, "await run.until(when=lambda step: …)")))];
  },
  fork(h, send, close) {
    const model = make("input", { type: "text", "aria-label": "Model", placeholder: "as it is" }), text = make("textarea", { rows: 2, "aria-label": "Instructions", placeholder: "as they are" });
    return [`Another run that shares steps 0 to ${h.place}`, make("div", { className: "an-keep", hidden: h.graph }, labelled("model", model), labelled("instructions", text)),
      make("div", { className: "an-buttons" }, button("Fork", () => { send({ type: "fork", model: model.value, instructions: text.value }); close(); }, { main: true }), button("Cancel", close),
        make("span", { className: "an-muted" }, "also: ", make("code", {}, `run.fork(at=${h.place})`)))];
  },
  top_up(h, send, close) {
    const usd = make("input", { type: "text", inputMode: "decimal", "aria-label": "US dollars", placeholder: "0.50" });
    usd.onkeydown = e => { if (e.key === "Enter") { send({ type: "top_up", usd: usd.value }); close(); e.preventDefault(); e.stopPropagation(); } };
    return ["Let the run spend more", make("div", { className: "an-keep" }, labelled("US dollars", usd)), make("div", { className: "an-buttons" },
      button("Add", () => { send({ type: "top_up", usd: usd.value }); close(); }, { main: true }), button("Cancel", close))];
  },
};

// ---- the page about a step

const TABS = ["Step", "Messages", "State", "Graph", "Cost", "Raw"];

function pages(send, request, pressed) {
  const tabs = make("div", { className: "an-tabs", role: "tablist", "aria-label": "About the step" }), pane = make("div", { className: "an-pane", role: "tabpanel", tabIndex: 0 });
  const find = make("input", { type: "search", placeholder: "search the state", "aria-label": "Search the state" });
  const tools = make("div", { className: "an-buttons an-find", hidden: true }, find, button("Copy as code", () => send({ type: "code" })));
  const cardbox = make("div"), text = make("div", { className: "an-text" }), earlier = button("Show earlier messages", () => { more += 200; ask(); });
  pane.append(tools, earlier, cardbox, text);
  const folds = new Map();   // what was opened or closed by hand, by tab and place
  const where = node => {
    const named = n => n.querySelector("summary > .an-key")?.textContent ?? n.querySelector("summary").textContent;
    const above = node.parentElement.closest("details");
    return `${above && text.contains(above) ? where(above) : tab}/${named(node)}`;
  };
  const open = new Map();    // cards of open requests by id: what was typed in them stays
  let tab = "Step", more = 40, shown = "", html = "", cards = [], wait = 0, editing = false, names = {};
  const ask = () => request({ tab, ...(tab === "State" ? { find: find.value } : {}), ...(tab === "Messages" ? { more } : {}) });
  const buttons = TABS.map(name => make("button", { type: "button", role: "tab", "data-tab": name, onclick: () => choose(name) }, make("span"), make("small")));
  tabs.append(...buttons);
  const mark = () => {
    for (const b of buttons) {
      const on = b.dataset.tab === tab;
      b.setAttribute("aria-selected", String(on));
      b.tabIndex = on ? 0 : -1;
      b.firstChild.textContent = names[b.dataset.tab] ?? b.dataset.tab;
    }
    tools.hidden = tab !== "State";
  };
  const choose = name => { tab = name; more = 40; editing = false; mark(); ask(); };
  tabs.onkeydown = e => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[e.key];
    if (!step) return;
    const shown = buttons.filter(b => !b.hidden), next = shown.findIndex(b => b.dataset.tab === tab) + step + shown.length;
    shown[next % shown.length].focus();
    choose(shown[next % shown.length].dataset.tab);
    e.preventDefault(); e.stopPropagation();
  };
  find.oninput = () => { clearTimeout(wait); wait = setTimeout(ask, 150); };
  const draw = c => {
    const key = `${c.run ?? ""} ${c.id}`, known = open.get(key);
    if (!known || known.seen !== c.seen && !known.decided) { known?.close(); pressed.cards.delete(known); open.set(key, card(c, m => send({ ...m, run: c.run }), pressed)); }
    const made = open.get(key);
    if (c.decided && !made.decided) made.settle(c.decided, c.effects);
    return made;
  };
  const edit = b => {   // a line of the state becomes a field
    const long = b.dataset.value.includes("\n") || b.dataset.value.length > 60;
    const input = make(long ? "textarea" : "input", { value: b.dataset.value, "aria-label": b.dataset.path, ...(long ? { rows: 4 } : { type: "text" }) });
    const stop = () => { editing = false; box.remove(); b.hidden = false; b.focus(); };
    const save = () => send({ type: "edit", path: b.dataset.path, text: input.value });
    const box = make("div", { className: "an-editing" }, input, make("div", { className: "an-buttons" }, button("Save", save, { main: true }), button("Cancel", stop),
      make("span", { className: "an-muted" }, make("code", {}, `run.edit(${b.dataset.path.split(".")[0]}=…)`))), make("div", { className: "an-wrong", role: "alert" }));
    input.onkeydown = e => {
      if (e.key === "Escape") { stop(); e.stopPropagation(); }
      else if (e.key === "Enter" && (!long || e.ctrlKey)) { save(); e.preventDefault(); }
    };
    editing = true; b.hidden = true; b.after(box); input.focus();
  };
  text.onclick = e => {
    const b = e.target.closest(".an-edit"), fold = e.target.closest("summary")?.parentElement;
    if (b) { e.preventDefault(); edit(b); }
    else if (fold) folds.set(where(fold), !fold.open);
  };
  mark();
  return {
    tabs, pane, ask,
    busy(on) { pane.setAttribute("aria-busy", String(on)); },
    tab: () => tab, choose, cards: () => cards,
    name(h) { names = { Step: h.tab }; buttons[TABS.indexOf("Graph")].hidden = !h.graph; buttons[TABS.indexOf("State")].lastChild.textContent = h.changed ? `${h.changed} changed` : ""; mark(); },
    shown: () => shown,
    forget() { open.clear(); folds.clear(); },
    paint(m) {
      if (m.tab !== tab || editing && m.key === shown) return;
      editing = false;
      shown = m.key;
      earlier.hidden = !m.earlier;
      if (m.earlier) earlier.firstChild.textContent = `Show earlier messages (${m.earlier.toLocaleString("en")})`;
      cards = m.cards.map(draw);
      cards.forEach((c, i) => { if (c.node !== cardbox.children[i]) cardbox.insertBefore(c.node, cardbox.children[i] ?? null); });   // those that stay are not moved
      while (cardbox.children.length > cards.length) cardbox.lastElementChild.remove();
      if (html === m.tab + m.html) return;
      html = m.tab + m.html;
      text.innerHTML = m.html;   // made by the kernel, where text from models and tools is escaped
      for (const d of text.querySelectorAll("details")) if (folds.has(where(d))) d.open = folds.get(where(d));
      if (m.tab === "Messages") text.lastElementChild?.scrollIntoView({ block: "nearest" });
    },
    done(m) {
      if (m.act === "decide") cards.find(c => c.id === m.request && (!m.run || c.run === m.run))?.wrong(m);
      if (m.act !== "edit" || !editing) return;
      if (m.text) text.querySelector(".an-editing .an-wrong").textContent = m.text;
      else { editing = false; shown = html = ""; ask(); }
    },
    code(value) {
      html = "";
      const box = make("textarea", { className: "an-code", readOnly: true, value, rows: 8, "aria-label": "The state as code" });
      text.prepend(box);
      box.select();
      navigator.clipboard?.writeText(value).catch(() => document.execCommand("copy"));
    },
  };
}

// ---- the whole

function render({ model, el }) {
  let said = 0, asked = 0, heard = 0, timer = 0, head = model.get("head"), panel = "", run = "";
  const lost = make("div", { className: "an-problem", role: "alert", hidden: true });
  const silent = () => {
    lost.hidden = false;
    lost.textContent = `The kernel does not answer: it is busy, or gone. Nothing is lost: the run is in its store. Run this cell again, or: run = agent.load("${head.run_id}")`;
  };
  const send = message => {
    said += 1;
    if (!["rows", "code", "fold"].includes(message.type)) { asked = said; page.busy(true); }   // until the page that follows is there
    clearTimeout(timer);
    timer = setTimeout(silent, PATIENCE);
    try { Promise.resolve(model.send({ ...message, n: said })).catch(silent); } catch { silent(); }
  };
  const act = type => () => send({ type });
  const turn = (run, i) => { head = run === head.run_id ? { ...head, inside: null, place: i } : { ...head, inside: { run, index: i } }; steps.look(run, i); };
  const look = (run, i) => { turn(run, i); send({ type: "look", run, index: i }); };
  const steps = timeline(send, look);
  const pressed = presses(), page = pages(send, opts => send({ type: "page", ...opts }), pressed);
  const open = name => () => { panel = panel === name ? "" : name; unfold(); };
  const c = {
    step: button("Step", act("step"), { key: "s", main: true }), into: button("Into", act("into"), { key: "i" }), out: button("Out", act("out"), { key: "o" }), request: button("To request", act("request"), { key: "r" }), run: button("Run", act("run"), { key: "g" }),
    pause: button("Pause", act("pause"), { key: "p" }), back: button("Back", act("back"), { key: "←", text: "◀ Back" }), forward: button("Forward", act("forward"), { key: "→", text: "Forward ▶" }),
    end: button("To the end", () => send({ type: "look", index: -1 })), live: button("Go live from here", act("live"), { main: true }), fork: button("Fork here", open("fork")), break: button("Break…", open("break")), top_up: button("Top up…", open("top_up")),
  };
  const crumbs = make("nav", { className: "an-crumbs", "aria-label": "Agents, from the top", hidden: true });
  const title = make("span", { className: "an-title" }), status = make("span", { className: "an-status", role: "status" }), place = make("span", { className: "an-muted" });
  const meters = make("span", { className: "an-meters" }), problem = make("div", { className: "an-problem", role: "alert", hidden: true }), note = make("p", { className: "an-muted an-note" });
  const speech = make("div", { className: "an-speech", hidden: true, "aria-label": "What the model is saying", "aria-live": "off" }), folded = make("div", { className: "an-panel", hidden: true });
  const bar = make("div", { className: "an-row", role: "toolbar", "aria-label": "Step through the run" }, ...Object.values(c));
  const root = frame("an-stepper", "Agent run", { tabIndex: -1 },
    make("div", { className: "an-row an-top" }, make("div", { className: "an-asked" }, crumbs, title, status), make("div", { className: "an-facts" }, place, meters)), bar, folded, lost, problem,
    make("div", { className: "an-body" }, steps.list, make("div", { className: "an-detail" }, page.tabs, speech, page.pane, note)));

  const unfold = () => {
    folded.hidden = !panel;
    for (const name of Object.keys(PANELS)) c[name].setAttribute("aria-expanded", String(panel === name));
    if (!panel) return folded.replaceChildren();
    const opener = c[panel], close = () => { panel = ""; unfold(); opener.focus(); };
    folded.replaceChildren(...PANELS[panel](head, send, close).filter(Boolean));
    folded.querySelector("select, input, textarea")?.focus();
  };
  const meter = m => {
    const bar = make("span", { className: "an-meter", role: "meter", "aria-label": m.words, "aria-valuemin": 0, "aria-valuemax": 1, "aria-valuenow": m.part ?? 0 }, make("i"));
    bar.firstChild.style.width = `${(m.part ?? 0) * 100}%`;
    bar.dataset.level = m.part >= 1 ? "hard" : m.soft != null && m.part >= m.soft ? "soft" : "";
    if (m.soft != null) { const line = make("b"); line.style.left = `${m.soft * 100}%`; bar.append(line); }
    return make("span", { className: "an-muted an-budget", title: m.soft == null ? "spent of the hard limit" : "spent of the hard limit; the line is the soft one" },
      `${m.words}${m.part >= 1 ? " (used up)" : m.soft != null && m.part >= m.soft ? " (soft limit passed)" : ""}`, bar);
  };
  const heed = () => {
    const h = head = model.get("head");
    if (run !== h.run_id) { run = h.run_id; steps.forget(); page.forget(); }
    crumbs.hidden = !h.crumbs?.length;
    crumbs.replaceChildren(...(h.crumbs ?? []).flatMap((c, i) => i < h.crumbs.length - 1 ? [button(c.name, () => look(c.run, c.index ?? (c.run === h.run_id ? h.count - 1 : -1))), "›"]
      : [make("b", { "aria-current": "true" }, c.name)]));
    c.step.firstChild.textContent = h.nests ? "Over" : "Step";
    c.step.setAttribute("aria-label", c.step.firstChild.textContent);
    title.textContent = h.title; status.textContent = h.words; status.dataset.status = h.status;
    const shown = h.inside?.run ?? h.run_id;
    place.textContent = `run ${shown.length > 12 ? `${shown.slice(0, 4)}…${shown.slice(-4)}` : shown} · ${h.iteration}`; place.title = shown;
    meters.replaceChildren(...h.meters.map(meter), make("span", { className: "an-muted" }, h.totals));
    for (const [name, b] of Object.entries(c)) b.disabled = h.can[name] === false;
    for (const name of ["step", "request", "run", "pause", "break", "top_up"]) c[name].hidden = h.tape;
    for (const name of ["into", "out"]) { c[name].hidden = h.tape || !h.nests; c[name].disabled = !h.can[name]; }
    c.live.hidden = c.end.hidden = !h.tape;
    c.top_up.disabled = !h.can.edit;
    c.break.firstChild.textContent = h.breaks.length ? `Break… (${h.breaks.length})` : "Break…";
    const wrong = h.problem || (["stopped", "failed"].includes(h.status) ? h.reason : "");
    if (problem.textContent !== wrong) problem.textContent = wrong;
    problem.hidden = !wrong; note.textContent = h.note;
    if (panel === "break") folded.querySelector(".an-breaks").replaceWith(breakpoints(h, send));
    steps.heed(h);
    page.name(h);
    if (page.shown() !== h.key) page.ask();
  };
  const received = m => {
    heard = Math.max(heard, m.n ?? 0);
    if (heard >= said) { clearTimeout(timer); lost.hidden = true; }
    if (m.type === "rows") { if (m.top !== run) { run = m.top; steps.forget(); page.forget(); } steps.add(m.run, m.rows); }
    else if (m.type === "page") {
      page.paint(m);
      if (heard < asked || m.tab !== page.tab()) return;
      page.busy(false);
      if (head.run_id !== run) return;
      const [is, was] = [m.inside ?? { run, index: m.place }, head.inside ?? { run, index: head.place }];
      if ((is.run !== was.run || is.index !== was.index) && (m.inside || m.place < head.count)) turn(is.run, is.index);   // what was looked for meanwhile was overtaken
    }
    else if (m.type === "done") page.done(m);
    else if (m.type === "code") page.code(m.text);
    else if (m.type === "speech") {   // text on its way: appended in place, replaced by the step when it is there
      if (m.start === 0) speech.replaceChildren();
      speech.append(m.text);
      speech.hidden = !speech.textContent;
      speech.scrollTop = speech.scrollHeight;
    }
  };
  const press = b => { if (!b.disabled && !b.hidden) b.click(); };
  const letters = { s: c.step, i: c.into, o: c.out, r: c.request, g: c.run, p: c.pause, ArrowLeft: c.back, ArrowRight: c.forward };
  const jump = { ArrowDown: () => 1, ArrowUp: () => -1, PageDown: steps.page, PageUp: () => -steps.page(), Home: () => -Infinity, End: () => Infinity };
  const decide = what => {   // a key answers only a request that can be seen
    if (page.tab() !== "Step") return page.choose("Step");
    page.cards().find(card => card.about === "approve")?.[what]();
  };
  const ANSWERS = { a: "approve", x: "reject", y: "sure" };
  root.onkeydown = e => {
    if (e.key === "Escape" && panel) { const opener = c[panel]; panel = ""; unfold(); opener.focus(); }
    else if (e.target.matches("textarea, input, select") || e.ctrlKey || e.metaKey || e.altKey) return;
    else if (letters[e.key]) { if (e.key.startsWith("Arrow") || pressed.fresh(e)) press(e.key === "s" && head.tape ? c.forward : letters[e.key]); }
    else if (ANSWERS[e.key]) { if (pressed.fresh(e)) decide(ANSWERS[e.key]); }   // a key that is held down answers once
    else if (e.target === steps.list && jump[e.key]) steps.go(jump[e.key]());
    else if (e.target === steps.list && ["Enter", " "].includes(e.key)) steps.fold();
    else return;
    e.preventDefault(); e.stopPropagation();
  };
  const ticking = setInterval(() => {
    steps.tick();
    const now = (performance.now() - since) / 1000;
    for (const card of page.cards()) { const w = head.waiting?.find(w => w.id === card.id && (!card.run || w.run === card.run)); if (w) card.age?.(clock(w.age + now)); }
  }, 1000);
  let since = performance.now();
  const changed = () => { since = performance.now(); heed(); };
  model.on("change:head", changed);
  model.on("msg:custom", received);
  el.append(root);
  heed();
  send({ type: "ready" });
  return () => { steps.close(); pressed.close(); clearInterval(ticking); clearTimeout(timer); model.off("change:head", changed); model.off("msg:custom", received); };
}
export default { render };
