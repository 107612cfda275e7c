// The view of one run. It keeps what is on the screen and nothing else: what it shows it asks of the kernel,
// what is clicked it tells the kernel. Text from models and tools arrives as text, or as HTML in which it was escaped.

const ROW = 26, AHEAD = 12, BATCH = 200, PATIENCE = 4000;

// ---- the steps: only the lines that can be seen are in the page

function timeline(send, look) {
  const rows = new Map(), asked = new Set(), nodes = new Map();
  const sheet = make("div", { className: "an-sheet", role: "presentation" }), end = make("div", { className: "an-cut", role: "presentation" });
  const list = make("ol", { className: "an-steps", role: "listbox", "aria-label": "Steps", tabIndex: 0 }, sheet);
  let head = { count: 0, place: -1, waiting: [] }, since = 0, frame = 0;
  const id = `an-${Math.random().toString(36).slice(2)}`;

  const fill = (node, r) => {
    const split = /^(.*?(?:→|asks:) ?)(.+)$/.exec(r.head);
    const again = split && r.note.startsWith(`${split[2]}(`) && r.note.slice(split[2].length + 1).replace(/\)\??$/, "");   // the head has said the tool's name
    const note = r.kind === "request" && again !== false ? "" : again || r.note;
    const what = make("span", { className: "an-what", title: r.note ? `${r.head}: ${r.note}` : r.head }, ...(split ? [split[1], make("b", {}, split[2])] : [r.head]),
      note ? make("small", {}, ` ${note}`) : "");
    node.replaceChildren(make("span", { className: "an-n" }, String(r.index)), make("span", { className: "an-icon", "data-tone": r.tone, "aria-hidden": "true" }, r.icon),
      what, make("span", { className: "an-side" }, ...r.marks.map(m => make("span", { className: "an-chip" }, m)), make("small", {}, r.side)));
    node.an = r;
  };
  const dress = (node, i) => {
    const open = head.waiting.find(w => w.index === i), beyond = i > head.place;
    node.setAttribute("aria-selected", String(i === head.place));
    node.setAttribute("aria-setsize", head.count);
    node.classList.toggle("an-beyond", beyond);
    const side = node.querySelector(".an-side > small");
    if (side) side.textContent = open ? `waiting ${clock(open.age + (performance.now() - since) / 1000)}` : beyond ? "recorded" : node.an.side;
  };
  const paint = () => {
    frame = 0;
    const from = Math.max(0, Math.floor(list.scrollTop / ROW) - AHEAD), to = Math.min(head.count, Math.ceil((list.scrollTop + list.clientHeight) / ROW) + AHEAD);
    for (const [i, node] of nodes) if (i < from || i >= to) { node.remove(); nodes.delete(i); }
    for (let i = from; i < to; i++) {
      let node = nodes.get(i);
      if (!node) {
        node = make("li", { role: "option", id: `${id}-${i}`, "data-index": i, "aria-posinset": i + 1, onclick: () => look(i) });
        node.style.transform = `translateY(${i * ROW}px)`;
        nodes.set(i, node);
        sheet.append(node);
      }
      if (rows.has(i) && node.an !== rows.get(i)) fill(node, rows.get(i));
      if (!rows.has(i)) ask(i);
      dress(node, i);
    }
    list.setAttribute("aria-activedescendant", nodes.has(head.place) ? `${id}-${head.place}` : "");
  };
  const ask = i => {
    const start = Math.floor(i / BATCH) * BATCH;
    if (asked.has(start)) return;
    asked.add(start);
    send({ type: "rows", start, stop: start + BATCH });
  };
  const soon = () => { frame ||= requestAnimationFrame(paint); };
  const show = i => {
    if (i * ROW < list.scrollTop) list.scrollTop = i * ROW;
    else if ((i + 2) * ROW > list.scrollTop + list.clientHeight) list.scrollTop = (i + 2) * ROW - list.clientHeight;
  };
  list.onscroll = soon;
  const inside = i => i * ROW > list.scrollTop - ROW && i * ROW < list.scrollTop + list.clientHeight;
  let height = 0;   // a list that is not laid out yet has none, and cannot be scrolled
  const sizes = new ResizeObserver(() => { if (!height || list.clientHeight < height) show(head.place); height = list.clientHeight; soon(); });
  sizes.observe(list);
  return {
    list,
    add(got) { for (const r of got) rows.set(r.index, r); paint(); },
    forget() { rows.clear(); asked.clear(); for (const node of nodes.values()) node.remove(); nodes.clear(); },
    heed(h) {
      const moved = h.count === head.count ? h.place !== head.place : head.place < 0 || inside(head.place) || h.place < h.count - 1;   // new steps are followed by who looks at the last
      head = h; since = performance.now();
      if (end.parentNode !== sheet) sheet.append(end);
      sheet.style.height = `${(h.count + 1) * ROW}px`;
      end.style.transform = `translateY(${h.count * ROW}px)`;
      end.textContent = h.count === 0 ? "no steps yet" : h.ended ? "the end" : h.tape ? "recorded up to here" : "nothing beyond: live from here";
      if (moved) show(h.place);
      paint();
    },
    look(i) { head = { ...head, place: i, tape: i < head.count - 1 }; show(i); paint(); },
    tick() { if (head.waiting.length) for (const w of head.waiting) if (nodes.has(w.index)) dress(nodes.get(w.index), w.index); },
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
    const known = open.get(c.id);
    if (!known || known.seen !== c.seen && !known.decided) { known?.close(); pressed.cards.delete(known); open.set(c.id, card(c, send, pressed)); }
    const made = open.get(c.id);
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
      if (m.act === "decide") cards.find(c => c.id === m.request)?.wrong(m);
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
    if (!["rows", "code"].includes(message.type)) { asked = said; page.busy(true); }   // until the page that follows is there
    clearTimeout(timer);
    timer = setTimeout(silent, PATIENCE);
    try { Promise.resolve(model.send({ ...message, n: said })).catch(silent); } catch { silent(); }
  };
  const act = type => () => send({ type });
  const turn = i => { head = { ...head, place: i }; steps.look(i); };
  const look = i => { turn(i); send({ type: "look", index: i }); };
  const steps = timeline(send, look);
  const pressed = presses(), page = pages(send, opts => send({ type: "page", ...opts }), pressed);
  const open = name => () => { panel = panel === name ? "" : name; unfold(); };
  const c = {
    step: button("Step", act("step"), { key: "s", main: true }), request: button("To request", act("request"), { key: "r" }), run: button("Run", act("run"), { key: "g" }),
    pause: button("Pause", act("pause"), { key: "p" }), back: button("Back", act("back"), { key: "←", text: "◀ Back" }), forward: button("Forward", act("forward"), { key: "→", text: "Forward ▶" }),
    end: button("To the end", () => send({ type: "look", index: -1 })), live: button("Go live from here", act("live"), { main: true }), fork: button("Fork here", open("fork")), break: button("Break…", open("break")), top_up: button("Top up…", open("top_up")),
  };
  const title = make("span", { className: "an-title" }), status = make("span", { className: "an-status", role: "status" }), place = make("span", { className: "an-muted" });
  const meters = make("span", { className: "an-meters" }), problem = make("div", { className: "an-problem", role: "alert", hidden: true }), note = make("p", { className: "an-muted an-note" });
  const speech = make("div", { className: "an-speech", hidden: true, "aria-label": "What the model is saying", "aria-live": "off" }), folded = make("div", { className: "an-panel", hidden: true });
  const bar = make("div", { className: "an-row", role: "toolbar", "aria-label": "Step through the run" }, ...Object.values(c));
  const root = frame("an-stepper", "Agent run", { tabIndex: -1 },
    make("div", { className: "an-row an-top" }, make("div", { className: "an-asked" }, title, status), make("div", { className: "an-facts" }, place, meters)), bar, folded, lost, problem,
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
    title.textContent = h.title; status.textContent = h.words; status.dataset.status = h.status;
    place.textContent = `run ${h.run_id.length > 12 ? `${h.run_id.slice(0, 4)}…${h.run_id.slice(-4)}` : h.run_id} · ${h.iteration}`; place.title = h.run_id;
    meters.replaceChildren(...h.meters.map(meter), make("span", { className: "an-muted" }, h.totals));
    for (const [name, b] of Object.entries(c)) b.disabled = h.can[name] === false;
    for (const name of ["step", "request", "run", "pause", "break", "top_up"]) c[name].hidden = h.tape;
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
    if (m.type === "rows") { if (m.run !== run) { run = m.run; steps.forget(); page.forget(); } steps.add(m.rows); }
    else if (m.type === "page") {
      page.paint(m);
      if (heard < asked || m.tab !== page.tab()) return;
      page.busy(false);
      if (m.place !== head.place && m.place < head.count && head.run_id === run) turn(m.place);   // what was looked for meanwhile was overtaken
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
  const letters = { s: c.step, r: c.request, g: c.run, p: c.pause, ArrowLeft: c.back, ArrowRight: c.forward };
  const jump = { ArrowDown: () => 1, ArrowUp: () => -1, PageDown: steps.page, PageUp: () => -steps.page(), Home: () => -head.count, End: () => head.count };
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
    else if (e.target === steps.list && jump[e.key]) {
      const to = Math.min(Math.max(head.place + jump[e.key](), 0), head.count - 1);
      if (to !== head.place && to >= 0) look(to);
    } else return;
    e.preventDefault(); e.stopPropagation();
  };
  const ticking = setInterval(() => {
    steps.tick();
    const now = (performance.now() - since) / 1000;
    for (const card of page.cards()) { const w = head.waiting?.find(w => w.id === card.id); if (w) card.age?.(clock(w.age + now)); }
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
