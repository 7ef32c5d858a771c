// Light or dark, as the page around the widget says.

export interface Theme {
  dark: boolean;
  contrast: boolean;
}

interface Marks {
  attribute(name: string): string | null; // of body or html
  has(className: string): boolean;
  matches(query: string): boolean;
}

/** JupyterLab, VS Code, Colab, Sphinx, then the system. Pure, given what the page says. */
export function themeOf(page: Marks): Theme {
  const lab = page.attribute("data-jp-theme-light");
  const named = page.attribute("theme") ?? page.attribute("data-theme") ?? page.attribute("data-bs-theme");
  const name = page.attribute("data-jp-theme-name") ?? "";
  const contrast = /contrast/i.test(name) || page.has("vscode-high-contrast") || page.matches("(prefers-contrast: more)");
  let dark = page.matches("(prefers-color-scheme: dark)");
  if (named === "dark" || named === "light") dark = named === "dark";
  if (page.has("vscode-light") || page.has("vscode-high-contrast-light")) dark = false;
  else if (page.has("vscode-dark") || page.has("vscode-high-contrast")) dark = true;
  if (lab !== null) dark = lab === "false";
  return { dark, contrast };
}

const page: Marks = {
  attribute: (name) => document.body.getAttribute(name) ?? document.documentElement.getAttribute(name),
  has: (name) => document.body.classList.contains(name) || document.documentElement.classList.contains(name),
  matches: (query) => window.matchMedia?.(query).matches ?? false,
};

/** Calls back now and at each change; returns the way to stop. */
export function watchTheme(callback: (theme: Theme) => void): () => void {
  const tell = (): void => callback(themeOf(page));
  const observer = new MutationObserver(tell);
  for (const element of [document.body, document.documentElement]) observer.observe(element, { attributes: true });
  const queries = ["(prefers-color-scheme: dark)", "(prefers-contrast: more)"].map((query) => window.matchMedia(query));
  for (const query of queries) query.addEventListener("change", tell);
  tell();
  return () => {
    observer.disconnect();
    for (const query of queries) query.removeEventListener("change", tell);
  };
}
