// Where tiles go: whole pixels a cell, all in sight where they can be, keys that keep their column.
import assert from "node:assert/strict";
import { test } from "node:test";
import { afterKey, gridAcross, gridOf, inSight, placeOf, SIZES, visible, type Wish } from "../../src/explorer/grid";
import { sizeOf } from "../../src/explorer/Picture";

const WISH: Wish = { least: 53, most: 169, gap: 7, label: 16, height: 650 };

test("64 maps of 28 x 28 are seen at once, each cell a whole number of pixels", () => {
  const grid = gridOf(64, 1, 28, 28, 690, WISH);
  assert.equal(grid.width % 28, 0);
  assert.ok(grid.whole && grid.total <= WISH.height);
});

test("a few maps become large, never larger than wished or than the room", () => {
  assert.equal(gridOf(6, 1, 28, 28, 690, WISH).width, 168);
  assert.ok(gridOf(6, 1, 28, 28, 100, WISH).width <= 100);
});

test("512 maps do not fit: they keep the smallest size and the rest is below", () => {
  const grid = gridOf(512, 1, 56, 56, 690, WISH);
  assert.equal(grid.width, 56);
  assert.ok(grid.total > WISH.height);
});

test("a map larger than a tile is shrunk, and says so", () => {
  const grid = gridOf(64, 1, 224, 224, 690, WISH);
  assert.ok(grid.width <= WISH.most && !grid.whole);
});

test("the last column ends inside the room, for every width", () => {
  for (const room of [200, 333, 480, 600, 691, 1040, 2000]) {
    for (const [side, parts] of [[3, 1], [28, 1], [32, 3], [56, 1]] as const) {
      const grid = gridOf(100, parts, side, side, room, WISH);
      const last = placeOf(grid, grid.columns - 1, parts - 1);
      assert.ok(last.x + grid.width <= room, `${room} px, ${side} cells, ${parts} parts: ${last.x + grid.width}`);
    }
  }
});

test("the three pictures of a compared tile stand side by side", () => {
  const grid = gridOf(10, 3, 32, 32, 690, WISH);
  assert.equal(placeOf(grid, 0, 1).x, grid.width + grid.inner);
  assert.equal(placeOf(grid, grid.columns).y, grid.stepY);
  assert.ok(grid.stepX >= 3 * grid.width);
});

test("strips of a weight matrix stay visible", () => {
  const grid = gridOf(40, 1, 256, 4, 690, WISH);
  assert.ok(grid.height >= 12);
});

test("three stand side by side where three are asked for", () => {
  const grid = gridAcross(9, 3, 32, 32, 220, WISH);
  assert.deepEqual([grid.columns, grid.rows, grid.width], [3, 3, 64]);
});

test("only tiles in sight are drawn", () => {
  const grid = gridOf(512, 1, 56, 56, 690, WISH);
  const [first, last] = visible(grid, 512, 5 * grid.stepY, 6 * grid.stepY - 1);
  assert.deepEqual([first, last], [5 * grid.columns, 6 * grid.columns]);
  assert.deepEqual(visible(grid, 512, 0, 1e6), [0, 512]);
});

test("a few tiles fill the room", () => {
  const [least, most] = SIZES.medium;
  const grid = gridOf(6, 1, 28, 28, 690, { ...WISH, least: 13 * least, most: 13 * most });
  assert.deepEqual([grid.columns, grid.width], [3, 224]);
});

test("how many tiles are in sight: whole rows, all where nothing scrolls", () => {
  const grid = gridOf(512, 1, 56, 56, 690, WISH);
  const rows = inSight(grid, 512, WISH.height) / grid.columns;
  assert.ok(Number.isInteger(rows) && rows * grid.stepY - WISH.gap - WISH.label <= WISH.height && (rows + 1) * grid.stepY > WISH.height);
  assert.equal(inSight(gridOf(6, 1, 28, 28, 690, WISH), 6, WISH.height), 6);
});

test("arrow keys walk the tiles and stay inside", () => {
  const go = (key: string, at: number): number | null => afterKey(key, at, 10, 4);
  assert.deepEqual([go("ArrowRight", 3), go("ArrowLeft", 0), go("ArrowDown", 1), go("ArrowUp", 5)], [4, 0, 5, 1]);
  assert.deepEqual([go("ArrowRight", 9), go("ArrowUp", 2), go("ArrowDown", 9), go("Home", 7), go("End", 0)], [9, 2, 9, 0, 9]);
  assert.equal(go("ArrowDown", 7), 9, "below a gap in the last row is the last tile");
  assert.equal(go("a", 3), null);
});

test("a picture is a whole number of device pixels a cell, and a row of numbers is no hair", () => {
  assert.deepEqual(sizeOf(28, 28, 230, 400, 1), { width: 224, height: 224, whole: true });
  assert.deepEqual(sizeOf(28, 28, 230, 400, 2), { width: 224, height: 224, whole: true });
  assert.equal(sizeOf(300, 300, 150, 400, 1).whole, false);
  assert.deepEqual(sizeOf(224, 224, 270, 400, 1), { width: 270, height: 270, whole: false }, "a photograph fills its place");
  assert.ok(sizeOf(300, 1, 230, 400, 1).height >= 20);
});
