// A conversation with an agent. What is typed is kept here; everything that was said is the kernel's.
function render({ model, el }) {
  const send = message => model.send(message);
  const title = make("b"), status = make("span", { className: "an-status", role: "status" }), totals = make("span", { className: "an-muted" });
  const problem = make("div", { className: "an-problem", role: "alert", hidden: true }), words = make("span");
  const retry = button("Try again", () => send({ type: "go" }));
  problem.append(words, " ", retry);
  const log = make("div", { className: "an-turns", role: "log", "aria-label": "Conversation", tabIndex: 0 }), asks = make("div", { className: "an-asks" });
  const speech = make("div", { className: "an-speech", hidden: true, "aria-live": "off", "aria-label": "What the model is saying" });
  const input = make("textarea", { rows: 2, placeholder: "Say something. Enter sends, Shift+Enter is a new line.", "aria-label": "Message" });
  const go = button("Send", () => say(), { key: "⏎", main: true }), stop = button("Stop", () => send({ type: "stop" }), { key: "esc" });
  const code = make("code"), root = frame("an-chat", "Chat", {},
    make("div", { className: "an-row" }, title, status, make("span", { className: "an-space" }), totals), log, problem,
    make("div", { className: "an-write" }, input, make("div", { className: "an-buttons" }, go, stop)), make("div", { className: "an-foot an-muted" }, code));
  let turns = [], cards = new Map(), pressed = presses(), opened = new Map(), steps = new Map();

  const line = (r, turn) => {
    const pane = make("div", { className: "an-pane" }), node = make("details", { className: "an-step" },
      make("summary", {}, make("span", { className: "an-n" }, String(r.index)), make("span", { "data-tone": r.tone, "aria-hidden": "true" }, r.icon), make("span", { className: "an-what" }, make("b", {}, r.head), " ",
        make("small", {}, r.note)), make("small", { className: "an-side" }, r.side)), pane);
    steps.set(r.index, pane);
    node.ontoggle = () => { if (node.open && !pane.firstChild) send({ type: "step", index: r.index }); };
    return node;
  };
  const draw = (turn, i) => {
    const fold = make("details", { className: "an-fold", open: opened.get(i) ?? false }, make("summary", { className: "an-muted" }, turn.used), make("div", { className: "an-steps" }, ...turn.rows.map(r => line(r, i))));
    fold.ontoggle = () => opened.set(i, fold.open);
    const answer = make("div", { className: "an-answer" });
    answer.innerHTML = turn.answer;   // made by the kernel, where it was escaped
    return make("section", { className: "an-turn", "aria-label": `Turn ${i + 1}` }, make("div", { className: "an-asked" }, turn.asked), answer, fold);
  };
  const near = () => log.scrollHeight - log.scrollTop - log.clientHeight < 80;
  const down = () => { log.scrollTop = log.scrollHeight; };
  const received = m => {
    const follow = near();
    if (m.type === "turns") {
      turns = [...turns.slice(0, m.start), ...m.turns];
      m.turns.forEach((t, k) => { const i = m.start + k, node = draw(t, i), old = log.querySelectorAll(".an-turn")[i]; if (!old) log.insertBefore(node, asks); else if (old.an !== JSON.stringify(t)) old.replaceWith(node); else return; node.an = JSON.stringify(t); });
      const ids = new Set(m.cards.map(c => c.id));
      for (const [id, c] of cards) if (!ids.has(id)) { c.close(); pressed.cards.delete(c); c.node.remove(); cards.delete(id); }
      for (const c of m.cards) {   // an answered card stays in its place
        const old = cards.get(c.id);
        if (!old) { cards.set(c.id, card(c, send, pressed)); asks.append(cards.get(c.id).node); }
        else if (old.seen !== c.seen && !old.decided) { cards.set(c.id, card(c, send, pressed)); old.close(); pressed.cards.delete(old); old.node.replaceWith(cards.get(c.id).node); }
        else if (c.decided && !cards.get(c.id).decided) cards.get(c.id).settle(c.decided, c.effects);
      }
      log.querySelector(".an-empty")?.remove();
      if (!turns.length) log.prepend(make("p", { className: "an-empty an-muted" }, "Nothing was said yet."));
    } else if (m.type === "speech") {
      if (m.start === 0) speech.replaceChildren();
      speech.append(m.text);
      speech.hidden = !speech.textContent;
    } else if (m.type === "step") { const pane = steps.get(m.index); if (pane) pane.innerHTML = m.html; }   // made by the kernel, where it was escaped
    else if (m.type === "done" && (m.text || m.again)) cards.get(m.request)?.wrong(m);
    if (follow) down();
  };
  const head = () => {
    const h = model.get("head");
    title.textContent = h.title; status.textContent = h.words; status.hidden = !h.words; status.dataset.status = h.status; totals.textContent = h.totals;
    problem.hidden = !h.problem; words.textContent = h.problem ?? ""; retry.hidden = h.active || h.ended || !h.run;
    go.disabled = h.active; stop.disabled = !h.active; stop.hidden = !h.active;
    code.textContent = h.run ? `chat(agent, "${h.run}")` : "";
  };
  const say = () => { if (go.disabled || !input.value.trim()) return; send({ type: "say", text: input.value }); input.value = ""; down(); };
  input.onkeydown = e => { if (e.key === "Enter" && !e.shiftKey && !e.isComposing) { say(); e.preventDefault(); } if (e.key === "Escape" && !stop.disabled) stop.click(); e.stopPropagation(); };
  root.addEventListener("keydown", e => {
    if (e.ctrlKey || e.metaKey || e.altKey || e.target.matches("input, textarea, select")) return;
    const act = { a: "approve", x: "reject", y: "sure" }[e.key], asked = [...cards.values()].find(c => c.about);
    if (!act || !asked || act !== "sure" && asked.about !== "approve") return;
    if (pressed.fresh(e)) asked[act]();   // a key that is held down answers once
    e.preventDefault(); e.stopPropagation();
  });
  log.append(asks, speech);
  model.on("change:head", head);
  model.on("msg:custom", received);
  head();
  el.append(root);
  send({ type: "ready" });
  return () => { pressed.close(); model.off("change:head", head); model.off("msg:custom", received); };
}
export default { render };
