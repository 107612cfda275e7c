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

// The frame of a view. Keys pressed in it are its own: JupyterLab looks for the attribute upwards from the focus, Notebook 7 at the focus only.
const frame = (name, label, props, ...children) => {
  const keep = node => node.setAttribute("data-lm-suppress-shortcuts", "true");
  const root = make("div", { className: `agentnb ${name}`, role: "region", "aria-label": label, ...props }, ...children);
  keep(root);
  root.addEventListener("focusin", e => keep(e.target));
  return root;
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
