// Numbers to colours and back.
import assert from "node:assert/strict";
import { test } from "node:test";
import { gradient, table } from "../../src/explorer/lut";
import { atlasOf, cellAt, clip, colour, crop, positionOf, positionText, said, step, valueAt } from "../../src/explorer/raster";
import type { Raster } from "../../src/explorer_wire";

const view = (...bytes: number[]): DataView => new DataView(Uint8Array.from(bytes).buffer);
const raster = (more: Partial<Raster>): Raster => ({ count: 1, width: 2, height: 1, channels: 1, kind: "sequential", low: 0, high: 10, data: view(0, 255), ...more });
const rgb = (word: number): number[] => [word & 255, (word >> 8) & 255, (word >> 16) & 255];

/** Relative luminance, WCAG. */
const light = (word: number): number => {
  const [r, g, b] = rgb(word).map((v) => (v / 255 <= 0.04045 ? v / 255 / 12.92 : ((v / 255 + 0.055) / 1.055) ** 2.4));
  return 0.2126 * r! + 0.7152 * g! + 0.0722 * b!;
};

test("viridis begins dark violet, ends yellow, and every step is lighter", () => {
  const look = table("sequential", false);
  assert.deepEqual([rgb(look[0]!), rgb(look[255]!)], [[68, 1, 84], [253, 231, 37]]);
  for (let i = 8; i < 256; i += 1) assert.ok(light(look[i]!) > light(look[i - 8]!), `level ${i}`);
});

test("zero of a diverging table is a grey without colour, in both themes, and both signs leave it alike", () => {
  for (const dark of [false, true]) {
    const look = table("diverging", dark);
    const zero = rgb(look[128]!);
    assert.ok(Math.max(...zero) - Math.min(...zero) <= 12, `${zero}`);
    const [below, above] = [light(look[20]!) - light(look[128]!), light(look[236]!) - light(look[128]!)];
    assert.equal(Math.sign(below), Math.sign(above));
    assert.equal(Math.sign(below), dark ? 1 : -1, "away from the page's own colour");
    assert.ok(rgb(look[0]!)[2]! > rgb(look[0]!)[0]! && rgb(look[255]!)[0]! > rgb(look[255]!)[2]!, "blue below, orange above");
  }
});

test("grey is what it says, and the legend has the table's own ends", () => {
  assert.deepEqual([rgb(table("grey", false)[0]!), rgb(table("grey", false)[128]!), rgb(table("grey", true)[255]!)], [[0, 0, 0], [128, 128, 128], [255, 255, 255]]);
  assert.match(gradient("sequential", false), /^linear-gradient\(to right, #440154, .*#fde725\)$/);
});

test("an atlas holds all tiles and stays nearly square", () => {
  const shape = atlasOf({ count: 512, width: 56, height: 56 });
  assert.ok(shape.columns * Math.ceil(512 / shape.columns) >= 512);
  assert.ok(shape.width < 1500 && shape.height < 1500);
  assert.deepEqual(atlasOf({ count: 0, width: 5, height: 5 }), { columns: 1, width: 5, height: 0 });
});

test("tiles are coloured into their places; colour is copied as it is", () => {
  const shape = { columns: 2, width: 2, height: 1 };
  const words = new Uint32Array(2);
  colour(raster({ count: 2, width: 1, kind: "grey" }), false, shape, words);
  assert.deepEqual([...words].map(rgb), [[0, 0, 0], [255, 255, 255]]);
  colour(raster({ count: 1, width: 2, channels: 3, kind: "colour", data: view(1, 2, 3, 4, 5, 6) }), false, shape, words);
  assert.deepEqual([...words].map(rgb), [[1, 2, 3], [4, 5, 6]]);
});

test("data that are too short leave holes instead of failing", () => {
  const words = new Uint32Array(2);
  colour(raster({ count: 2, width: 1, data: view(255) }), false, { columns: 2, width: 2, height: 1 }, words);
  assert.equal(words[1], 0);
});

test("a view into the middle of a buffer is read from its own start", () => {
  const words = new Uint32Array(2);
  colour(raster({ kind: "grey", data: new DataView(Uint8Array.from([9, 9, 0, 255]).buffer, 2, 2) }), false, { columns: 1, width: 2, height: 1 }, words);
  assert.deepEqual([...words].map(rgb), [[0, 0, 0], [255, 255, 255]]);
});

test("the number under the pointer is the exact one where there is one", () => {
  const values = new DataView(Float32Array.from([0.125, -3.5]).buffer);
  assert.deepEqual(valueAt(raster({ values }), { y: 0, x: 1 }), { value: -3.5, exact: true });
  assert.deepEqual(valueAt(raster({}), { y: 0, x: 1 }), { value: 10, exact: false });
  assert.deepEqual(valueAt(raster({ kind: "diverging", low: -4, high: 4, data: view(128, 255) }), { y: 0, x: 0 }), { value: -0, exact: false });
  assert.deepEqual(valueAt(raster({ kind: "diverging", low: -4, high: 4, data: view(128, 255) }), { y: 0, x: 1 }), { value: 4, exact: false });
  assert.deepEqual(valueAt(raster({ ranges: [[0, 2]] }), { y: 0, x: 1 }), { value: 2, exact: false });
  assert.equal(valueAt(raster({}), { y: 1, x: 0 }), null);
  assert.equal(valueAt(raster({ channels: 3 }), { y: 0, x: 0 }), null);
});

test("a point is a cell, and none outside", () => {
  const shape = { width: 28, height: 14 };
  assert.deepEqual(cellAt(0, 0, shape), { y: 0, x: 0 });
  assert.deepEqual(cellAt(0.999, 0.5, shape), { y: 7, x: 27 });
  assert.equal(cellAt(1, 0.5, shape), null);
  assert.equal(cellAt(0.5, -0.01, shape), null);
});

test("arrow keys move the cell and stay inside", () => {
  const shape = { width: 4, height: 3 };
  assert.deepEqual(step({ y: 0, x: 0 }, "ArrowUp", shape), { y: 0, x: 0 });
  assert.deepEqual(step({ y: 1, x: 3 }, "ArrowRight", shape), { y: 1, x: 3 });
  assert.deepEqual([step({ y: 1, x: 1 }, "Home", shape), step({ y: 1, x: 1 }, "PageDown", shape)], [{ y: 1, x: 0 }, { y: 2, x: 1 }]);
  assert.equal(step({ y: 1, x: 1 }, "q", shape), null);
});

test("a position is written and read; nonsense is none", () => {
  assert.equal(positionText({ y: 3, x: 14 }), "3,14");
  assert.deepEqual([positionOf("3,14"), positionOf(" 3 14 "), positionOf(""), positionOf("3,-1"), positionOf("a,b")], [{ y: 3, x: 14 }, { y: 3, x: 14 }, null, null, null]);
});

test("a box is cut to the picture; one beside it is none", () => {
  assert.deepEqual(clip({ y0: -4, x0: 2, y1: 9, x1: 99 }, 32, 28), { y0: 0, x0: 2, y1: 9, x1: 32 });
  assert.equal(clip({ y0: 30, x0: 0, y1: 40, x1: 5 }, 32, 28), null);
  assert.equal(clip(null, 5, 5), null);
});

test("the part of a picture in a box, colours and exact numbers with it", () => {
  const grey = raster({ width: 3, height: 2, data: view(0, 1, 2, 3, 4, 5), values: new DataView(Float32Array.from([0, 10, 20, 30, 40, 50]).buffer) });
  const part = crop(grey, { y0: 1, x0: 1, y1: 9, x1: 3 });
  assert.deepEqual([part.width, part.height, part.data.getUint8(0), part.data.getUint8(1)], [2, 1, 4, 5]);
  assert.deepEqual(valueAt(part, { y: 0, x: 1 }), { value: 50, exact: true });
  const rgb3 = crop(raster({ width: 2, height: 1, channels: 3, kind: "colour", data: view(1, 2, 3, 4, 5, 6) }), { y0: 0, x0: 1, y1: 1, x1: 2 });
  assert.deepEqual([...new Uint8Array(rgb3.data.buffer as ArrayBuffer)], [4, 5, 6]);
  assert.equal(crop(grey, { y0: 5, x0: 0, y1: 6, x1: 1 }), grey);
});

test("numbers are short and have a true minus", () => {
  assert.deepEqual([0, 3.41421, -0.28651, 12345.6, 1e-7, -2.5e9, Number.NaN, Infinity].map(said), ["0", "3.41", "−0.287", "12346", "1.00e−7", "−2.50e+9", "NaN", "∞"]);
});
