// One request: its parts, its arguments as fields, and the ways to answer it. Uses parts.js.

const MOMENT = 600;   // milliseconds that a card is in view before it takes an answer, and between two answers; the kernel counts too

// What is pressed in a view: one press is one decision. A key that is held down is one press, however often it is said to be down.
function presses() {
  const down = new Set(), cards = new Set(), up = e => down.delete(e.key), clear = () => down.clear();
  window.addEventListener("keyup", up, true);
  window.addEventListener("blur", clear);
  const timer = setInterval(() => { for (const c of cards) c.arm(); }, 100);
  return { cards, answered: -MOMENT,
    fresh(e) { const first = !e.repeat && !down.has(e.key); down.add(e.key); return first; },
    close() { clearInterval(timer); window.removeEventListener("keyup", up, true); window.removeEventListener("blur", clear); for (const c of cards) c.close(); } };
}

let count = 0;
const pressId = () => `${Date.now().toString(36)}-${Math.random().toString(36).slice(2)}-${count++}`;

function field(f) {
  const props = { "aria-label": f.label, spellcheck: false, dir: "auto" };
  let input;
  if (f.kind === "choice") {
    const options = f.options.includes(f.value) ? f.options : [f.value, ...f.options];
    input = make("select", props, ...options.map(o => make("option", { value: o, selected: o === f.value }, f.labels[o] ?? (o === "null" ? "" : o))));
  } else if (f.kind === "flag") input = make("input", { ...props, type: "checkbox", checked: f.value === "true" });
  else if (f.kind === "number") input = make("input", { ...props, type: "text", inputMode: "decimal", value: f.value });
  else input = make("textarea", { ...props, value: f.value, rows: Math.min(8, Math.max(f.value.split("\n").length, Math.ceil(f.value.length / 70), 1)) });
  const read = () => f.kind === "flag" ? String(input.checked) : input.value;
  const first = read(), hint = make("small", { className: "an-muted an-hint" }, f.hint), wrong = make("small", { className: "an-wrong", role: "alert" });
  const reset = () => { if (f.kind === "flag") input.checked = first === "true"; else input.value = first; };
  const parts = [input];
  if (f.shown) {   // what a field would draw is not what it holds: the escapes are shown, and the field when somebody wants to change it
    input.hidden = true;
    const change = button("Change it", () => { input.hidden = false; change.hidden = true; input.focus(); }, { text: "✎ change" });
    parts.unshift(make("code", { className: "an-shown", dir: "ltr" }, f.shown), change);
  }
  if (f.doubt) parts.push(make("small", { className: "an-doubt" }, `⚠ ${f.doubt}`));
  if (f.size) parts.push(make("small", { className: "an-muted an-size" }, f.size));
  return { name: f.name, input, read, reset, changed: () => read() !== first, hint, wrong,
    parts: [make("span", { className: "an-muted an-name", dir: "ltr", title: f.name }, f.label), make("div", {}, ...parts, f.hint ? hint : "", wrong)] };
}

const LABELS = { answer: "your answer", budget: "why not", outcome: "its result, if it happened", approve: "why not, or what else to do: the model reads it", repeat: "its result, or why not again", verify: "what is right, or why not: the model reads it" };
const quote = (whose, words) => words ? make("div", { className: "an-quote" }, make("small", { className: "an-muted" }, whose), make("blockquote", { dir: "auto" }, words)) : "";

function card(c, send, pressed) {
  const fields = c.fields.map(field), wrong = make("div", { className: "an-wrong", role: "alert" });
  const answer = make("textarea", { rows: 1, placeholder: LABELS[c.about], "aria-label": "Message" }), more = make("div", { className: "an-more", hidden: true });
  const asJson = make("input", { type: "checkbox", checked: c.json === "json" }), kind = make("label", { className: "an-muted", hidden: !c.json }, asJson, " as JSON: 7, true, null, […], {…}");
  const typed = () => Object.fromEntries(fields.filter(f => f.changed()).map(f => [f.name, f.read()]));
  let since = 0, sent = 0, began = null, settled = !!c.decided, second = null;
  const now = () => performance.now();
  const ready = () => !settled && since && now() - since >= MOMENT && now() - pressed.answered >= MOMENT && !(sent && now() - sent < 5000) && document.visibilityState === "visible";
  const counts = e => {   // a press that began on this card when it could be answered, and ended where it began
    const press = began, at = node.getBoundingClientRect();
    began = null;
    if (e?.detail && !(press?.ready && Math.hypot(at.x - press.x, at.y - press.y) < 4)) return false;
    return ready();
  };
  const tell = (e, verdict, rest = {}) => {
    if (!counts(e)) return;
    for (const f of fields) f.wrong.textContent = "";
    wrong.textContent = "";
    sent = pressed.answered = now();
    second = { verdict, rest };
    if (node.contains(document.activeElement)) node.focus({ preventScroll: true });
    send({ type: "decide", request: c.id, seen: c.seen, press: pressId(), verdict, ...rest });
    arm();
  };
  const say = (verdict, otherwise = "") => e => tell(e, verdict, { message: answer.value || otherwise, ...(c.json && asJson.checked && verdict === "answer" ? { json: true } : {}) });
  const approve = e => tell(e, "approve", { typed: typed() });
  const plain = button("Approve", approve, { key: "a", main: true }), changed = button("Approve with changes", approve);
  const reset = button("Reset", () => { for (const f of fields) f.reset(); watch(); });
  const sure = button(`Yes, call ${c.tool}`, e => again(e), { key: "y", main: true });
  const again = e => { if (second && !more.hidden && more.contains(sure)) tell(e, second.verdict, { ...second.rest, sure: c.tool }); };
  const arm = () => {   // what is disabled says that it is not yet time
    const on = !!ready(), any = fields.some(f => f.changed()), asking = more.contains(sure) && !more.hidden;
    for (const b of [...node.querySelectorAll(".an-answers button"), ...more.querySelectorAll("button:not([aria-label=Cancel])")]) {
      const off = !on || asking && b !== sure || b === plain && any || b === changed && !any;
      if (b !== reset && b.disabled !== off) b.disabled = off;
    }
    node.setAttribute("aria-busy", String(!on));
  };
  const watch = () => {
    const any = fields.some(f => f.changed());
    reset.hidden = !any;
    plain.classList.toggle("an-main", !any); changed.classList.toggle("an-main", any);
    arm();
  };
  const close = () => { more.hidden = true; more.replaceChildren(); arm(); node.querySelector(".an-answers button:not(:disabled)")?.focus(); };
  const open = (...parts) => { more.replaceChildren(...parts); more.hidden = false; more.querySelector("textarea, select, input")?.focus(); arm(); };
  const refuse = () => open(labelled("Reason", answer), make("div", { className: "an-buttons" }, button("Reject", say("reject"), { main: true }),
    button("Stop the run", say("abort")), button("Cancel", close)));
  const always = () => open(keep(c, fields, (e, keeping) => tell(e, "approve", { typed: typed(), keep: keeping }), close));
  const confirm = () => {   // a second act, in another place, of another key; nothing is focused that Enter could press
    open(make("div", { className: "an-destroys", role: "alert" }, `${c.effect} Is it meant?`), make("div", { className: "an-buttons" }, button("Cancel", close), make("span", { className: "an-space" }), sure));
    more.tabIndex = -1; more.focus({ preventScroll: true });
    more.scrollIntoView({ block: "nearest" });
  };
  const answers = {
    approve: () => [plain, changed, button("Reject…", refuse, { key: "x" }), button("Always…", always), reset],
    answer: () => [button("Answer", say("answer"), { main: true }), button("Stop the run", say("abort"))],
    repeat: () => [button("Use its result", say("answer", "It was made already."), { main: true }), button("Make it again", approve), button("Reject", say("reject"))],
    budget: () => [button("Raise it", approve, { main: true }), button("Stop with what is there", say("reject"))],
    verify: () => [button("Let it stand", approve, { main: true }), button("Use my answer", say("answer")), button("Back to the model", say("reject")), button("Stop the run", say("abort"))],
    within: () => [button(c.link ? "Done" : fields.length ? "Send" : "Allow", approve, { main: true }), button("Decline", say("reject")), button("Stop the run", say("abort"))],
    outcome: () => [button("It happened", say("answer", "It happened."), { main: true }), button("It did not: call it now", approve), button("Skip", say("reject"))],
  }[c.within ? "within" : c.about]();
  const preview = c.preview ? make("div", { className: "an-preview", "aria-label": "Preview" }) : "";
  if (c.preview) preview.innerHTML = c.preview;   // made by the kernel, where it was escaped
  const age = make("span", { className: "an-muted an-age" }), effects = make("div", { className: "an-muted an-effects" }, c.effects);
  const node = make("div", { className: "an-ask", role: "group", tabIndex: -1, "aria-label": `Request: ${c.heading}`, "data-request": c.id },
    c.path ? make("div", { className: "an-path an-muted" }, c.path) : "",
    make("div", { className: "an-head" }, make("strong", { dir: "auto" }, c.heading), c.tool ? make("code", { className: "an-tool" }, c.tool) : "", make("span", { className: "an-space" }), age),
    c.effect ? make("div", { className: c.destructive ? "an-destroys" : "an-effect an-muted" }, c.effect) : "",
    c.why ? make("div", { className: "an-why" }, make("small", { className: "an-muted" }, "You are asked because"), make("div", { dir: "auto" }, c.why)) : "",
    ...c.outside.map(line => make("div", { className: "an-doubt", dir: "auto" }, `⚠ Words from outside: ${line}`)),
    quote("The question", c.quoted), quote("The model says", c.reason), c.sure != null ? make("div", { className: "an-muted" }, `The model was ${Math.round(c.sure * 100)} % sure.`) : "",
    c.described ? make("details", { className: "an-muted an-described" }, make("summary", {}, "All that the tool says of itself"), make("div", { dir: "auto" }, c.described)) : "",
    ...c.doubts.map(([where, words]) => make("div", { className: "an-doubt" }, `⚠ ${where}: ${words}`)),
    make("div", { className: "an-args" }, ...fields.flatMap(f => f.parts)), preview);
  const settle = (text, done) => {   // an answered card stays in its place, with what was said
    settled = true;
    observer.disconnect();
    pressed.cards.delete(me);
    for (const f of fields) f.input.disabled = true;
    for (const part of [...node.querySelectorAll(".an-answers"), answer, kind, more, wrong]) part.remove();
    node.classList.add("an-decided");
    node.removeAttribute("aria-busy");
    age.textContent = "";
    effects.textContent = done ?? "";
    node.append(make("div", { className: "an-verdict" }, `☑ ${text}`), effects);
  };
  const observer = new IntersectionObserver(seen => {
    const e = seen.at(-1), is = e.isIntersecting && (e.intersectionRatio >= 0.5 || e.intersectionRect.height >= 160);
    since = is ? since || now() : 0;
    arm();
  }, { threshold: [0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1] });
  const me = { node, id: c.id, run: c.run, seen: c.seen, get about() { return settled ? "" : c.about; }, get decided() { return settled; }, settle, arm, close: () => observer.disconnect(),
    age: t => { if (!settled) age.textContent = `waiting ${t}`; },
    approve: () => { if (!more.contains(sure) || more.hidden) (fields.some(f => f.changed()) ? changed : plain).disabled || approve(); }, reject: refuse, sure: again,
    wrong(m) {
      if (settled) return;
      if (m.again) { sent = 0; confirm(); return; }
      if (m.text) { sent = 0; if (more.contains(sure)) close(); }
      wrong.textContent = m.fields ? "" : m.text ?? "";
      for (const f of fields) f.wrong.textContent = m.fields?.[f.name] ?? "";
      fields.find(f => m.fields?.[f.name])?.input.focus();
      arm();
    } };
  if (c.decided) { settle(c.decided, c.effects); return me; }
  if (c.link) node.append(make("p", {}, make("a", { href: c.link, target: "_blank", rel: "noopener noreferrer" }, c.link)));
  if (c.about !== "approve" && !c.within) node.append(answer, kind);
  node.append(wrong, make("div", { className: "an-buttons an-answers" }, ...answers, make("span", { className: "an-space" }),
    make("span", { className: "an-muted" }, "also: ", make("code", {}, c.code))), more, effects);
  node.oninput = watch;
  node.addEventListener("pointerdown", e => { const at = node.getBoundingClientRect(); began = { x: at.x, y: at.y, ready: ready() }; }, true);
  node.addEventListener("keydown", e => {
    if (e.key === "Escape" && !more.hidden) { close(); e.stopPropagation(); }
    if ((e.key === "Enter" || e.key === " ") && e.target.matches("button") && !pressed.fresh(e)) e.preventDefault();
  });
  pressed.cards.add(me);
  observer.observe(node);
  watch();
  return me;
}

// What a yes is remembered for.
function keep(c, fields, done, close) {
  const wide = make("select", { "aria-label": "For" }, make("option", { value: "args" }, "exactly these arguments"), make("option", { value: "globs" }, "arguments that fit a pattern"),
    make("option", { value: "tool" }, `any call of ${c.tool}`));
  const where = make("select", { "aria-label": "Where" }, make("option", { value: "" }, "in this run"), make("option", { value: "1" }, `in all runs of ${c.agent}`));
  const uses = make("input", { type: "number", min: 1, placeholder: "any", "aria-label": "Times" }), minutes = make("input", { type: "number", min: 1, placeholder: "no end", "aria-label": "Minutes" });
  const globs = fields.map(f => ({ name: f.name, input: make("input", { type: "text", "aria-label": `Pattern for ${f.name}`, placeholder: "as it is; or a pattern with *" }) }));
  const patterns = make("div", { className: "an-keep", hidden: true }, ...globs.map(g => labelled(`${g.name} like`, g.input)));
  const code = make("code");
  const told = () => ({ wide: wide.value, everywhere: !!where.value, uses: uses.value, minutes: minutes.value,
    globs: Object.fromEntries(globs.filter(g => g.input.value).map(g => [g.name, g.input.value])) });
  const draw = () => {
    const t = told(), py = JSON.stringify(t.globs);
    patterns.hidden = t.wide !== "globs";
    code.textContent = c.code.replace("()", `(remember=${t.wide === "globs" ? py : `"${t.wide}"`}${t.everywhere ? ", everywhere=True" : ""}${t.uses ? `, uses=${t.uses}` : ""}${t.minutes ? `, seconds=${t.minutes * 60}` : ""})`);
  };
  const box = make("div", { oninput: draw }, make("div", { className: "an-keep" }, labelled("Say yes to", wide), labelled("where", where), labelled("times", uses), labelled("minutes", minutes)), patterns,
    make("div", { className: "an-buttons" }, button("Approve and remember", e => done(e, told()), { main: true }), button("Cancel", close), make("span", { className: "an-space" }), make("span", { className: "an-muted" }, "also: ", code)));
  draw();
  return box;
}
