// Invented networks: a small VGG with a block of attention, and one of 400 rows with 512 maps of 56 x 56.
import type { Node, ViewName } from "../../src/explorer_wire";

export interface Site {
  channels: number;
  side: number;
  kernel: number; // 0: no weights of its own
  inputs: number;
  attention?: boolean;
}

export interface Net {
  nodes: Node[];
  sites: Map<string, Site>;
  start: string;
}

const ACTIVE: ViewName[] = ["maps", "histogram", "deconvnet", "top9"];
const WEIGHTED: ViewName[] = ["filters", "maps", "histogram", "deconvnet", "top9", "training"];

export const HOSTILE = '<img src=x onerror="document.title=\'broken in\'">';

class Builder {
  readonly nodes: Node[] = [];
  readonly sites = new Map<string, Site>();

  box(path: string, kind: string, depth: number, views: ViewName[] = [], site?: Site): void {
    this.add(path, kind, depth, { container: true, views, reason: views.length ? "" : "A container: choose a layer in it.", shape: site ? `${site.channels} × ${site.side} × ${site.side}` : "" });
    if (site) this.sites.set(path, site);
  }

  layer(path: string, kind: string, depth: number, site: Site, dead = 0): void {
    const params = site.kernel ? site.channels * site.inputs * site.kernel ** 2 + site.channels : 0;
    const macs = params * site.side ** 2;
    this.add(path, kind, depth, {
      views: site.attention ? ["attention", "maps", "histogram"] : site.kernel ? WEIGHTED : ACTIVE, shape: site.side > 1 ? `${site.channels} × ${site.side} × ${site.side}` : String(site.channels),
      params: params ? params.toLocaleString("en") : "", macs: macs ? `${(macs / 1e6).toFixed(macs < 1e6 ? 2 : 1)} M` : "", share: macs / 40e6,
      dead: kind === "ReLU" ? dead / site.channels : null, dead_text: kind === "ReLU" && dead ? `${dead} dead` : "",
    });
    this.sites.set(path, site);
  }

  add(path: string, kind: string, depth: number, more: Partial<Node>): void {
    const name = path.startsWith("<") ? path : path.split(".").pop()!;
    this.nodes.push({ id: path, name, call: 0, path, kind, depth, shape: "", params: "", macs: "", share: 0, dead: null, dead_text: "", container: false, views: [], reason: "", ...more });
  }
}

export function small(): Net {
  const b = new Builder();
  const conv = (i: number, inputs: number, channels: number, side: number, dead: number): void => {
    b.layer(`features.conv${i}`, "Conv2d", 1, { channels, side, kernel: i === 1 ? 5 : 3, inputs });
    b.layer(`features.relu${i}`, "ReLU", 1, { channels, side, kernel: 0, inputs: channels }, dead);
    b.layer(`features.pool${i}`, "MaxPool2d", 1, { channels, side: side / 2, kernel: 0, inputs: channels });
  };
  b.box("features", "Sequential", 0);
  conv(1, 3, 64, 32, 3);
  conv(2, 64, 128, 16, 11);
  b.box("mixer", "Block", 0, ["maps"], { channels: 128, side: 8, kernel: 0, inputs: 128 });
  b.layer("mixer.attention", "MultiheadAttention", 1, { channels: 8, side: 16, kernel: 0, inputs: 8, attention: true });
  b.layer("mixer.(add)", "add", 1, { channels: 128, side: 8, kernel: 0, inputs: 128 });
  b.layer(HOSTILE, "Conv2d", 1, { channels: 24, side: 8, kernel: 3, inputs: 128 });
  b.box("classifier", "Sequential", 0);
  b.layer("classifier.fc1", "Linear", 1, { channels: 120, side: 1, kernel: 1, inputs: 512 });
  b.layer("classifier.relu", "ReLU", 1, { channels: 120, side: 1, kernel: 0, inputs: 120 }, 6);
  b.add("classifier.dropout", "Dropout", 1, { reason: "Passes its input on while the network is evaluated." });
  b.layer("classifier.fc2", "Linear", 1, { channels: 10, side: 1, kernel: 1, inputs: 120 });
  return { nodes: b.nodes, sites: b.sites, start: "features.relu1" };
}

/** About 400 rows; its widest layer has 512 maps of 56 x 56. */
export function large(): Net {
  const b = new Builder();
  b.layer("stem", "Conv2d", 0, { channels: 64, side: 112, kernel: 7, inputs: 3 });
  for (let stage = 1; stage <= 4; stage += 1) {
    const channels = 128 * 2 ** stage;
    const side = stage <= 2 ? 56 : 28 / (stage - 2);
    b.box(`layer${stage}`, "Stage", 0);
    for (let block = 0; block < 11; block += 1) {
      const at = `layer${stage}.${block}`;
      b.box(at, "Bottleneck", 1, ["maps"], { channels, side, kernel: 0, inputs: channels });
      for (let i = 1; i <= 2; i += 1) {
        b.layer(`${at}.conv${i}`, "Conv2d", 2, { channels, side, kernel: 3, inputs: channels });
        b.layer(`${at}.bn${i}`, "BatchNorm2d", 2, { channels, side, kernel: 0, inputs: channels });
        b.layer(`${at}.relu${i}`, "ReLU", 2, { channels, side, kernel: 0, inputs: channels }, (block * i) % 5);
      }
      b.layer(`${at}.(add)`, "add", 2, { channels, side, kernel: 0, inputs: channels });
    }
  }
  b.layer("fc", "Linear", 0, { channels: 10, side: 1, kernel: 1, inputs: 2048 });
  return { nodes: b.nodes, sites: b.sites, start: "layer2.0.relu1" };
}
