// The runs of a store. It keeps the selection and nothing else: rows arrive from the kernel as text, clicks go there.
const ago = at => {
  const seconds = Math.max(0, (Date.now() - Date.parse(at)) / 1000);
  for (const [unit, size] of [["d", 86400], ["h", 3600], ["min", 60]]) if (seconds >= size) return `${Math.floor(seconds / size)} ${unit}`;
  return seconds < 10 ? "now" : `${Math.floor(seconds)} s`;
};

const STATUSES = { "": "any status", waiting: "waiting for you", running: "running", paused: "paused", stuck: "cut off", done: "done", stopped: "stopped", failed: "failed", damaged: "damaged" };
const SIGNS = { waiting: "?", running: "▸", paused: "‖", stuck: "!", done: "✓", stopped: "■", failed: "✕", damaged: "✕" };

function render({ model, el }) {
  const send = message => model.send(message);
  const id = `an-${Math.random().toString(36).slice(2)}`;
  const title = make("b"), where = make("span", { className: "an-muted an-where" }), range = make("span", { className: "an-muted" });
  const search = make("input", { type: "search", placeholder: "task, result, run id", "aria-label": "Search runs" });
  const labels = make("input", { type: "text", placeholder: "case=7", "aria-label": "Labels", spellcheck: false });
  const status = make("select", { "aria-label": "Status" }, ...Object.entries(STATUSES).map(([value, words]) => make("option", { value }, words)));
  const tree = make("input", { type: "checkbox", id: `${id}-tree` }), previous = button("Newer", () => turn(-1)), next = button("Older", () => turn(1));
  const note = make("div", { className: "an-note", role: "status" }), list = make("ul", { role: "listbox", "aria-label": "Runs", tabIndex: 0 });
  const open = button("Open", () => act("open"), { key: "⏎", main: true }), resume = button("Resume", () => act("resume"), { key: "r" }), remove = button("Delete", () => act("hide"), { key: "del" });
  const detail = make("div", { className: "an-detail", role: "region", "aria-label": "Run", tabIndex: 0, hidden: true });
  const root = frame("an-runs", "Runs", {},
    make("div", { className: "an-row" }, title, where, make("span", { className: "an-space" }), range, previous, next),
    make("div", { className: "an-row", role: "toolbar", "aria-label": "Filter and act" }, search, labels, status, make("label", { htmlFor: tree.id }, tree, " tree of forks"),
      make("span", { className: "an-space" }), make("span", { className: "an-acts" }, open, resume, remove)), note, list, detail);
  let page = { rows: [], total: 0, start: 0, size: 25 }, chosen = "", typing = 0, undo = "";

  const label = l => make("span", { className: "an-label", title: `Only runs with ${l.words}`, onclick: () => only(l.label) }, l.words);
  const below = r => r.below ? make("span", { className: "an-below", title: "Show or hide the runs that it called", onclick: e => { send({ type: "find", fold: r.id }); e.stopPropagation(); } }, `${r.opened ? "▾" : "▸"} ${r.below}`) : "";
  const row = r => make("li", { role: "option", id: `${id}-${r.id}`, "data-run": r.id, "data-status": r.status, onclick: () => choose(r.id), ondblclick: () => act("open") },
    make("span", { className: "an-state" }, make("span", { "aria-hidden": "true" }, SIGNS[r.status] ?? "·"), make("span", {}, r.words)),
    make("span", { className: "an-task", style: `padding-left: ${Math.min(r.depth, 6) * 18}px` }, make("span", {}, r.depth ? "↳ " : "", r.task),
      make("small", {}, make("code", {}, r.name), ...[r.agent, below(r), ...r.labels.map(label), r.fork, r.call, r.said].filter(Boolean).flatMap(x => [" · ", x]))),
    make("span", { className: "an-num" }, `${r.steps} steps`), make("span", { className: "an-num" }, r.cost),
    make("time", { dateTime: r.at, title: r.at.slice(0, 19).replace("T", " ") + " UTC" }, ago(r.at)));
  const choose = run => {
    chosen = page.rows.some(r => r.id === run) ? run : page.rows[0]?.id ?? "";
    for (const li of list.children) li.setAttribute("aria-selected", String(li.dataset.run === chosen));
    const li = list.querySelector('[aria-selected="true"]');
    list.setAttribute("aria-activedescendant", li?.id ?? "");
    li?.scrollIntoView({ block: "nearest" });
    const is = page.rows.find(r => r.id === chosen)?.status;
    open.disabled = remove.disabled = !chosen;
    open.disabled ||= is === "damaged";
    resume.disabled = !["paused", "stuck", "failed", "waiting"].includes(is);
  };
  const paint = () => {
    page = { ...page, ...model.get("page") };
    const old = new Map([...list.children].map(li => [li.dataset.key, li]));
    list.replaceChildren(...page.rows.map(r => { const key = JSON.stringify(r), li = old.get(key) ?? row(r); li.dataset.key = key; return li; }));
    if (!page.rows.length) list.append(make("li", { className: "an-empty", role: "presentation" }, page.text || page.status || page.labels ? "No run fits." : "No runs yet."));
    title.textContent = `${page.total.toLocaleString("en")} run${page.total === 1 ? "" : "s"}`; where.textContent = page.url ?? "";
    const tops = page.tops ?? page.total;
    range.textContent = tops > page.size ? `${page.start + 1}–${Math.min(page.start + page.size, tops)}` : "";
    previous.disabled = page.start <= 0; next.disabled = page.start + page.size >= tops;
    previous.hidden = next.hidden = tops <= page.size;
    if (document.activeElement !== search && !typing) search.value = page.text ?? "";
    if (document.activeElement !== labels) labels.value = page.labels ?? "";
    status.value = page.status ?? ""; tree.checked = !!page.tree; tree.disabled = !!(page.text || page.status || page.labels);
    choose(chosen);
  };
  const tell = () => {
    const n = model.get("note");
    undo = n.undo ?? "";
    note.hidden = !(n.problem || n.undo);
    note.classList.toggle("an-problem", !!n.problem);
    note.replaceChildren(n.problem || (n.undo ? make("span", {}, `Deleted ${n.undo}. `, n.children?.length ? `Its calls began ${n.children.join(", ")}: not deleted. ` : "", button("Undo", () => send({ type: "undo", run: undo }), { key: "u" })) : ""));
  };
  const searched = m => { range.textContent = m.searched < m.of ? `searched ${m.searched.toLocaleString("en")} of ${m.of.toLocaleString("en")} …` : ""; };
  const full = () => { const o = model.get("opened"); detail.hidden = !o.run; detail.innerHTML = o.html ?? ""; };   // made by the kernel, where it was escaped
  const find = more => send({ type: "find", text: search.value, status: status.value, labels: labels.value, tree: tree.checked, ...more });
  const only = label => { labels.value = `${page.labels ?? ""} ${label}`.trim(); find({ start: 0 }); };
  const turn = by => find({ start: Math.max(0, page.start + by * page.size) });
  const act = type => { if (chosen && !{ open, resume, hide: remove }[type].disabled) send({ type, run: chosen }); };
  const step = by => { const i = page.rows.findIndex(r => r.id === chosen) + by; if (page.rows[i]) choose(page.rows[i].id); };

  search.oninput = () => { clearTimeout(typing); typing = setTimeout(() => { typing = 0; find({ start: 0 }); }, 250); };
  labels.onchange = status.onchange = tree.onchange = () => find({ start: 0 });
  root.addEventListener("keydown", e => {
    if (e.ctrlKey || e.metaKey || e.altKey) return;
    if (e.target.matches("input, select")) { if (e.key === "Escape" || e.key === "ArrowDown" && e.target === search) { list.focus(); e.preventDefault(); } e.stopPropagation(); return; }
    if (e.target.closest(".an-detail")) return;
    const folds = is => { const r = page.rows.find(r => r.id === chosen); if (r?.below && r.opened === is) send({ type: "find", fold: r.id }); };
    const keys = { ArrowRight: () => folds(false), ArrowLeft: () => folds(true), ArrowDown: () => step(1), ArrowUp: () => step(-1), Home: () => choose(page.rows[0]?.id), End: () => choose(page.rows.at(-1)?.id), PageDown: () => next.disabled || turn(1),
      PageUp: () => previous.disabled || turn(-1), Delete: () => act("hide"), r: () => act("resume"), u: () => undo && send({ type: "undo", run: undo }), "/": () => search.focus() };
    if (e.key === "Enter" && e.target === list) act("open");
    else if (keys[e.key]) keys[e.key]();
    else return;
    e.preventDefault(); e.stopPropagation();
  });
  const clock = setInterval(() => { for (const t of list.querySelectorAll("time")) t.textContent = ago(t.dateTime); }, 10_000);
  for (const [name, fn] of [["page", paint], ["note", tell], ["opened", full]]) model.on(`change:${name}`, fn);
  model.on("msg:custom", searched);
  paint(); tell(); full();
  el.append(root);
  return () => { clearInterval(clock); clearTimeout(typing); model.off("msg:custom", searched); for (const [name, fn] of [["page", paint], ["note", tell], ["opened", full]]) model.off(`change:${name}`, fn); };
}
export default { render };
