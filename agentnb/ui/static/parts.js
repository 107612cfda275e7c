// Small parts of which the views are made. The files of a view are joined into one module: see agentnb/ui/assets.py.

const make = (tag, props = {}, ...children) => {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (name in node && !name.includes("-") && name !== "role") node[name] = value;
    else if (value !== false && value != null) node.setAttribute(name, value);
  }
  node.append(...children.filter(c => c != null && c !== ""));
  return node;
};

const button = (label, click, { key = "", main = false, text = label } = {}) => {
  const node = make("button", { type: "button", className: main ? "an-main" : "", "aria-label": label, onclick: click }, make("span", {}, text));
  if (key) {
    node.append(make("kbd", { "aria-hidden": "true" }, key));
    node.setAttribute("aria-keyshortcuts", { "←": "ArrowLeft", "→": "ArrowRight" }[key] ?? key);
  }
  return node;
};

const clock = seconds => `${Math.floor(seconds / 60)}:${String(Math.floor(seconds % 60)).padStart(2, "0")}`;

const labelled = (label, input) => make("label", { className: "an-field" }, make("span", { className: "an-muted" }, label), input);
