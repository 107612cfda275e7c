// One open request: its arguments as fields, and the ways to answer it. Uses parts.js.

function field(f) {
  const props = { "aria-label": f.label || f.name, spellcheck: false };
  let input;
  if (f.kind === "choice") {
    const options = f.options.includes(f.value) ? f.options : [f.value, ...f.options];
    input = make("select", props, ...options.map(o => make("option", { value: o, selected: o === f.value }, f.labels?.[o] ?? (o.startsWith('"') ? JSON.parse(o) : o === "null" ? "" : o))));
  } else if (f.kind === "flag") input = make("input", { ...props, type: "checkbox", checked: f.value === "true" });
  else if (f.kind === "number") input = make("input", { ...props, type: "text", inputMode: "decimal", value: f.value });
  else input = make("textarea", { ...props, value: f.value, rows: Math.min(8, Math.max(f.value.split("\n").length, Math.ceil(f.value.length / 70), 1)) });
  const read = () => f.kind === "flag" ? String(input.checked) : input.value;
  const first = read(), hint = make("small", { className: "an-muted an-hint" }, f.hint), wrong = make("small", { className: "an-wrong", role: "alert" });
  const reset = () => { if (f.kind === "flag") input.checked = first === "true"; else input.value = first; };
  return { name: f.name, input, read, reset, changed: () => read() !== first, hint, wrong,
    parts: [make("span", { className: "an-muted an-name", title: f.name }, f.label || f.name), make("div", {}, input, f.hint ? hint : "", wrong)] };
}

const LABELS = { answer: "your answer", budget: "why not", outcome: "its result, if it happened", approve: "why not, or what else to do: the model reads it", repeat: "its result, or why not again" };

function card(c, send) {
  const fields = c.fields.map(field), wrong = make("div", { className: "an-wrong", role: "alert" });
  const answer = make("textarea", { rows: 1, placeholder: LABELS[c.about], "aria-label": "Message" }), more = make("div", { className: "an-more", hidden: true });
  const asJson = make("input", { type: "checkbox", checked: c.json === "json" }), kind = make("label", { className: "an-muted", hidden: !c.json }, asJson, " as JSON: 7, true, null, […], {…}");
  const typed = () => Object.fromEntries(fields.filter(f => f.changed()).map(f => [f.name, f.read()]));
  const tell = (verdict, rest = {}) => {
    for (const f of fields) f.wrong.textContent = "";
    wrong.textContent = "";
    send({ type: "decide", request: c.id, verdict, ...rest });
  };
  const say = (verdict, otherwise = "") => () => tell(verdict, { message: answer.value || otherwise, ...(c.json && asJson.checked && verdict === "answer" ? { json: true } : {}) });
  const approve = () => tell("approve", { typed: typed() });
  const plain = button("Approve", approve, { key: "a", main: true }), changed = button("Approve with changes", approve);
  const reset = button("Reset", () => { for (const f of fields) f.reset(); watch(); });
  const watch = () => {
    const any = fields.some(f => f.changed());
    plain.disabled = any; changed.disabled = !any; reset.hidden = !any;
    plain.classList.toggle("an-main", !any); changed.classList.toggle("an-main", any);
  };
  const close = () => { more.hidden = true; more.replaceChildren(); node.querySelector(".an-answers button:not(:disabled)")?.focus(); };
  const open = (...parts) => { more.replaceChildren(...parts); more.hidden = false; more.querySelector("textarea, select, input")?.focus(); };
  const refuse = () => open(labelled("Reason", answer), make("div", { className: "an-buttons" }, button("Reject", say("reject"), { main: true }),
    button("Stop the run", say("abort")), button("Cancel", close)));
  const always = () => open(keep(c, fields, keeping => tell("approve", { typed: typed(), keep: keeping }), close));
  const answers = {
    approve: () => [plain, changed, button("Reject…", refuse, { key: "x" }), button("Always…", always), reset],
    answer: () => [button("Answer", say("answer"), { main: true }), button("Stop the run", say("abort"))],
    repeat: () => [button("Use its result", say("answer", "It was made already."), { main: true }), button("Make it again", approve), button("Reject", say("reject"))],
    budget: () => [button("Raise it", approve, { main: true }), button("Stop with what is there", say("reject"))],
    within: () => [button(c.link ? "Done" : fields.length ? "Send" : "Allow", approve, { main: true }), button("Decline", say("reject")), button("Stop the run", say("abort"))],
    outcome: () => [button("It happened", say("answer", "It happened."), { main: true }), button("It did not: call it now", approve), button("Skip", say("reject"))],
  }[c.within ? "within" : c.about]();
  const said = [c.reason && `The model says: “${c.reason}”`, c.sure != null && `It was ${Math.round(c.sure * 100)} % sure.`].filter(Boolean).join(" ");
  const preview = c.preview ? make("div", { className: "an-preview", "aria-label": "Preview" }) : "";
  if (c.preview) preview.innerHTML = c.preview;   // made by the kernel, where it was escaped
  const age = make("span", { className: "an-muted an-age" });
  const node = make("div", { className: "an-ask", role: "group", "aria-label": `Request: ${c.heading}`, "data-request": c.id },
    make("div", { className: "an-head" }, make("strong", {}, c.heading), make("span", { className: "an-space" }), age),
    c.why ? make("div", { className: "an-muted" }, c.why) : "",
    said ? make("div", { className: "an-muted" }, said) : "", make("div", { className: "an-args" }, ...fields.flatMap(f => f.parts)), preview);
  if (c.decided) {
    for (const f of fields) f.input.disabled = true;
    node.classList.add("an-decided");
    node.append(make("div", { className: "an-verdict" }, `☑ ${c.decided}`), make("div", { className: "an-muted" }, c.effects));
    return { node, id: c.id, about: "", wrong() {}, age() {} };
  }
  if (c.link) node.append(make("p", {}, make("a", { href: c.link, target: "_blank", rel: "noopener noreferrer" }, c.link)));
  if (c.about !== "approve" && !c.within) node.append(answer, kind);
  node.append(wrong, make("div", { className: "an-buttons an-answers" }, ...answers, make("span", { className: "an-space" }),
    make("span", { className: "an-muted" }, "also: ", make("code", {}, c.code))), more, make("div", { className: "an-muted an-effects" }, c.effects));
  node.oninput = watch;
  node.addEventListener("keydown", e => { if (e.key === "Escape" && !more.hidden) { close(); e.stopPropagation(); } });
  watch();
  return { node, id: c.id, about: c.about, age: t => { age.textContent = `waiting ${t}`; },
    approve: () => node.querySelector(".an-answers .an-main:not(:disabled)")?.click(), reject: refuse,
    wrong(m) {
      wrong.textContent = m.fields ? "" : m.text;
      for (const f of fields) f.wrong.textContent = m.fields?.[f.name] ?? "";
      fields.find(f => m.fields?.[f.name])?.input.focus();
    } };
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
    make("div", { className: "an-buttons" }, button("Approve and remember", () => done(told()), { main: true }), button("Cancel", close), make("span", { className: "an-space" }), make("span", { className: "an-muted" }, "also: ", code)));
  draw();
  return box;
}
