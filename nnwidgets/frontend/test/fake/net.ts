// An invented ResNet-20 and a plausible response of its accuracy, size and MACs to a recipe. Only for looking at the front end.
export interface NetLayer {
  name: string;
  kind: string;
  shape: string;
  weights: number;
  macs: number;
  robust: number; // 0..1: how much it stands
}

export interface Recipe {
  sparsity: number;
  structure: string;
  allocation: string | Record<string, number>;
  bits: number;
  granularity: string;
  symmetric: boolean;
  tuned: boolean;
}

function layersOf(): NetLayer[] {
  const found: NetLayer[] = [{ name: "conv1", kind: "Conv2d", shape: "16×1×3×3", weights: 144, macs: 112_896, robust: 0.2 }];
  let width = 16;
  for (const stage of [1, 2, 3]) {
    const out = 8 * 2 ** stage;
    const side = 28 / 2 ** (stage - 1);
    for (const block of [0, 1, 2]) {
      for (const conv of [1, 2]) {
        const weights = width * out * 9;
        const robust = 0.45 + 0.14 * stage + 0.05 * Math.sin(block * 3 + conv);
        found.push({ name: `layer${stage}.${block}.conv${conv}`, kind: "Conv2d", shape: `${out}×${width}×3×3`, weights, macs: weights * side * side, robust });
        width = out;
      }
    }
  }
  found.push({ name: "fc", kind: "Linear", shape: "10×64", weights: 640, macs: 640, robust: 0.3 });
  return found;
}

export const NET = layersOf();
export const WEIGHTS = NET.reduce((sum, layer) => sum + layer.weights, 0);
export const OTHER_BYTES = 1376 * 4;
export const DENSE = 0.9885;

export function amounts(recipe: Recipe): number[] {
  const { allocation, sparsity, structure } = recipe;
  return NET.map((layer) => {
    if (structure === "filter" && layer.kind !== "Conv2d") return 0;
    if (typeof allocation === "object") return allocation[layer.name] ?? sparsity;
    if (allocation === "uniform") return sparsity;
    return sparsity ** (1.6 - layer.robust) * Math.min(1, 0.25 + layer.robust);
  });
}

export interface Measured {
  share: number;
  accuracy: number;
  encoded: number;
  nominal: number;
  macs: number;
  nonzero: number;
  kept: number[];
}

export function measure(recipe: Recipe): Measured {
  const removed = amounts(recipe);
  const kept = removed.map((share) => 1 - share);
  const share = NET.reduce((sum, layer, i) => sum + layer.weights * removed[i]!, 0) / WEIGHTS;
  const hurt = NET.reduce((sum, layer, i) => sum + (removed[i]! ** 5 * (1.4 - layer.robust)) / NET.length, 0) * (recipe.structure === "filter" ? 2.4 : 1);
  const coarse = recipe.bits >= 32 ? 0 : (recipe.granularity === "tensor" ? 2.2 : 1) * (recipe.symmetric ? 1.2 : 1) * 0.9 * 4 ** (1 - recipe.bits) * 1.6;
  const damage = (0.12 * hurt + 0.35 * coarse) * (recipe.tuned ? 0.25 : 1);
  const bits = recipe.bits;
  const encoded = NET.reduce((sum, layer, i) => {
    const held = layer.weights * kept[i]!;
    return sum + Math.min((layer.weights * bits) / 8, (held * bits) / 8 + layer.weights / 8) + (bits < 32 ? 64 : 0);
  }, OTHER_BYTES);
  const executed = NET.reduce((sum, layer, i) => sum + layer.macs * (recipe.structure === "filter" ? kept[i]! : 1), 0);
  return {
    share, kept, encoded,
    accuracy: 0.1 + (DENSE - 0.1) * Math.exp(-Math.min(6, damage * 2.2)),
    nominal: (WEIGHTS * (1 - share) * bits) / 8 + OTHER_BYTES,
    macs: executed,
    nonzero: NET.reduce((sum, layer, i) => sum + layer.macs * kept[i]!, 0),
  };
}
