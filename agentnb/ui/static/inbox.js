// The open requests of all runs. A card keeps what was typed into it until it is answered, and its place after that; everything else is the kernel's.
const since = at => { const s = Math.max(0, (Date.now() - Date.parse(at)) / 1000); return s < 3600 ? clock(s) : s < 86400 ? `${Math.floor(s / 3600)} h` : `${Math.floor(s / 86400)} d`; };

function render({ model, el }) {
  const send = message => model.send(message), kept = new Map(), pressed = presses();
  const title = make("b"), where = make("span", { className: "an-muted an-where" }), problem = make("div", { className: "an-problem", role: "alert", hidden: true });
  const list = make("div", { className: "an-cards" }), done = make("ul", { className: "an-done", "aria-label": "Answered" }), said = make("div", { className: "an-said", role: "status", "aria-live": "polite" });
  const clear = button("Clear answered", () => { for (const [k, e] of kept) if (e.made.decided) { e.node.remove(); kept.delete(k); } paint(); });
  const root = frame("an-inbox", "Inbox", { tabIndex: -1 },
    make("div", { className: "an-row" }, title, where, make("span", { className: "an-space" }), said, clear), problem, list, done);
  const key = c => `${c.run} ${c.card.id}`;

  const entry = c => {
    const made = card(c.card, message => send({ ...message, run: c.run }), pressed);
    const node = make("section", { className: "an-item", tabIndex: 0, "aria-label": `${c.card.heading} ${c.task}`, "data-run": c.run },
      make("div", { className: "an-from an-muted" }, make("span", { className: "an-task" }, c.task), make("span", {}, c.agent), make("code", { title: "agent.load(…)" }, c.run)), c.doubt ? make("small", { className: "an-doubt" }, `⚠ ${c.doubt}`) : "", made.node);
    return { node, made, asked: c.asked };
  };
  const tick = () => { for (const e of kept.values()) e.made.age(since(e.asked)); };
  const paint = () => {
    const page = { cards: [], answered: [], ...model.get("page") }, now = new Set(page.cards.map(key));
    const held = [...kept.values()].find(e => e.node.contains(document.activeElement)), at = held ? [...kept.values()].indexOf(held) : -1;
    for (const [k, e] of kept) if (!now.has(k) && !e.made.decided && page.said?.[k]) { e.made.settle(page.said[k]); e.node.className = "an-was"; }   // it stays where it is: what comes after it does not move
    for (const c of page.cards) {
      const old = kept.get(key(c));
      if (old && (old.made.seen === c.card.seen || old.made.decided)) continue;
      const made = entry(c);   // new, or no longer as it was shown
      if (old) { old.made.close(); pressed.cards.delete(old.made); old.node.replaceWith(made.node); } else list.append(made.node);
      kept.set(key(c), made);
    }
    clear.hidden = ![...kept.values()].some(e => e.made.decided);
    list.querySelector(":scope > .an-empty")?.remove();
    if (!page.cards.length) list.append(make("p", { className: "an-empty" }, "Nothing is waiting for you."));
    if (held && !held.node.isConnected) (list.children[Math.min(at, list.children.length - 1)] ?? root).focus();
    const count = `${page.cards.length} waiting`;
    if (title.dataset.known && title.textContent !== count) said.textContent = page.cards.length ? `now ${count}` : "all answered";
    title.textContent = count; if (page.url) title.dataset.known = 1; where.textContent = page.url ?? "";
    problem.hidden = !page.problem; problem.textContent = page.problem ?? "";
    done.replaceChildren(...page.answered.map(a => make("li", {}, `Answered: ${a.task} `, make("code", {}, a.run), " ", a.can ? button("Resume", () => send({ type: "resume", run: a.run })) :
      make("span", { className: "an-muted" }, "goes on with ", make("code", {}, `agent.load("${a.run}")`)))));
    done.hidden = !page.answered.length;
    tick();
  };
  const told = m => {
    if (m.type !== "done" || !(m.text || m.again)) return;
    const e = kept.get(`${m.run} ${m.request}`);
    if (e) e.made.wrong(m); else { problem.hidden = false; problem.textContent = m.text; }
  };
  root.addEventListener("keydown", e => {
    if (e.ctrlKey || e.metaKey || e.altKey || e.target.matches("input, textarea, select")) return;
    const items = [...list.querySelectorAll(".an-item, .an-was")], at = items.findIndex(n => n.contains(document.activeElement)), entry = [...kept.values()].find(x => x.node === items[at]);
    const go = by => items[Math.max(0, Math.min(items.length - 1, at + by))]?.focus();
    const keys = { ArrowDown: () => go(1), ArrowUp: () => go(-1), j: () => go(1), k: () => go(-1), a: () => entry?.made.about === "approve" && entry.made.approve(), x: () => entry?.made.about === "approve" && entry.made.reject(), y: () => entry?.made.sure() };
    if (!keys[e.key]) return;
    if (!"axy".includes(e.key) || pressed.fresh(e)) keys[e.key]();   // a key that is held down answers once
    e.preventDefault(); e.stopPropagation();
  });
  const timer = setInterval(tick, 1000);
  model.on("change:page", paint);
  model.on("msg:custom", told);
  paint();
  el.append(root);
  return () => { clearInterval(timer); pressed.close(); model.off("change:page", paint); model.off("msg:custom", told); };
}
export default { render };
