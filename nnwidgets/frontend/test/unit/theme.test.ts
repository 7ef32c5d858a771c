import assert from "node:assert/strict";
import { test } from "node:test";
import { safeName } from "../../src/files";
import { themeOf } from "../../src/theme";

const page = (attributes: Record<string, string>, classes: string[] = [], queries: string[] = []) => ({
  attribute: (name: string) => attributes[name] ?? null,
  has: (name: string) => classes.includes(name),
  matches: (query: string) => queries.includes(query),
});
const SYSTEM_DARK = ["(prefers-color-scheme: dark)"];

test("JupyterLab's word counts before the system's", () => {
  assert.equal(themeOf(page({ "data-jp-theme-light": "true" }, [], SYSTEM_DARK)).dark, false);
  assert.equal(themeOf(page({ "data-jp-theme-light": "false" })).dark, true);
});

test("VS Code, Sphinx and the system are asked where there is no JupyterLab", () => {
  assert.equal(themeOf(page({}, ["vscode-dark"])).dark, true);
  assert.equal(themeOf(page({}, ["vscode-light"], SYSTEM_DARK)).dark, false);
  assert.equal(themeOf(page({ "data-theme": "dark" })).dark, true);
  assert.equal(themeOf(page({}, [], SYSTEM_DARK)).dark, true);
  assert.equal(themeOf(page({})).dark, false);
});

test("high contrast is seen in the theme's name", () => {
  assert.equal(themeOf(page({ "data-jp-theme-name": "JupyterLab Dark High Contrast", "data-jp-theme-light": "false" })).contrast, true);
  assert.equal(themeOf(page({ "data-jp-theme-name": "JupyterLab Dark" })).contrast, false);
});

test("a file name from Python has no folders", () => {
  assert.equal(safeName("../../etc/passwd"), "_.._etc_passwd");
  assert.equal(safeName("lab.svg"), "lab.svg");
  assert.equal(safeName(""), "file");
});
