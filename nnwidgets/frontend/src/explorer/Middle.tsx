// The middle: which view, what it shows, how it is drawn.
import { useMemo, useState } from "preact/hooks";
import { Boundary } from "../Boundary";
import { ChartView } from "../chart/Chart";
import { CommandButton } from "../controls/Button";
import { HelpButton } from "../controls/Help";
import { NumberInput } from "../controls/NumberInput";
import { Segmented } from "../controls/Segmented";
import { Select } from "../controls/Select";
import { words } from "../explorer_strings";
import type { Node, Panel, Tile, ViewName } from "../explorer_wire";
import { strings } from "../strings";
import type { Choice } from "../wire";
import { channelsOf, heldChannel } from "./channels";
import { useExplorer, type ExplorerStore } from "./contract";
import type { SizeName } from "./grid";
import { Columns, TopNine } from "./Columns";
import { Scale } from "./Scale";
import { Tiles } from "./Tiles";
import { Training } from "./Training";
import { FigureList } from "./Unit";

const VIEWS = Object.keys(words.views) as ViewName[];
export const CHARTS: Record<ViewName, string> = { filters: "filters", maps: "feature-maps", attention: "attention", histogram: "channels", deconvnet: "deconvnet", top9: "top9", training: "training" };

/** The tabs: what the layer cannot show is there, with the reason; attention only where the net has any. */
function tabs(store: ExplorerStore, nodes: readonly Node[], node: Node | undefined): Choice[] {
  const named = new Map((store.get("options")?.["view"] ?? []).map((each) => [each.value, each]));
  const attention = nodes.some((each) => each.views.includes("attention"));
  return VIEWS.filter((view) => (view !== "attention" || attention) && (named.size === 0 || named.has(view))).map((view) => {
    const given = named.get(view);
    const choice: Choice = { ...(given?.help ? { help: given.help } : {}), value: view, label: given?.label || words.views[view] };
    const reason = given?.disabled || (node && !node.views.includes(view) ? node.reason || words.notHere : "");
    return reason ? { ...choice, disabled: reason } : choice;
  });
}

export function Tabs({ nodes, layer }: { nodes: readonly Node[]; layer: string }) {
  const store = useExplorer();
  const choices = tabs(store, nodes, nodes.find((node) => node.id === layer));
  return (
    <div class="tabs">
      <Segmented bare control="view" label={words.view} choices={choices} value={store.value("view", "maps")} onValue={(value) => store.set("view", value as ViewName)} />
    </div>
  );
}

interface ToolsProps {
  panel: Panel | null | undefined;
  view: ViewName;
  size: SizeName;
  onSize: (size: SizeName) => void;
}

const SIZES = (Object.keys(words.sizes) as SizeName[]).map((value) => ({ value, label: words.sizes[value] }));

/** The controls of the view, in one line that keeps its place. */
function Tools({ panel, view, size, onSize }: ToolsProps) {
  const store = useExplorer();
  const options = store.get("options") ?? {};
  const tiled = view === "filters" || view === "maps" || view === "attention" || view === "training";
  const known = channelsOf(panel);
  const inputs = panel?.input_channels ?? 0;
  return (
    <div class="tools">
      <NumberInput control="channel" label={view === "attention" ? words.head : words.channel} value={heldChannel(store)} min={0} max={(known || 1e6) - 1} step={1} whole onValue={(value) => store.set("channel", value)} />
      {view === "maps" && (options["order"]?.length ?? 0) > 1 && <Select control="order" label={words.order} choices={options["order"]!} value={store.value("order", "index")} onValue={(value) => store.set("order", String(value))} />}
      {tiled && (options["scale"]?.length ?? 0) > 1 && <Segmented control="scale" label={words.scale} choices={options["scale"]!} value={store.value("scale", "layer")} onValue={(value) => store.set("scale", String(value))} />}
      {view === "filters" && inputs > 1 && <Select control="input_channel" label={words.inputChannel} value={store.value("input_channel", -1)}
        choices={[{ value: -1, label: words.meanOfAll }, ...Array.from({ length: inputs }, (_, value) => ({ value, label: String(value) }))]} onValue={(value) => store.set("input_channel", Number(value))} />}
      {tiled && <span class="sizes"><Segmented bare control="tile_size" label={words.size} choices={SIZES} value={size} onValue={(value) => onSize(value as SizeName)} /></span>}
    </div>
  );
}

function Ask({ ask }: { ask: NonNullable<Panel["ask"]> }) {
  return <div class="empty ask" data-nnw-ask=""><p>{ask.text}</p><CommandButton command="show" className="main">{ask.label}</CommandButton></div>;
}

/** The place of tiles that are still being made. */
const Coming = ({ count, text }: { count: number; text: string }) => (
  <div class="coming" role="img" aria-label={text || words.busyTiles}>{Array.from({ length: Math.max(8, Math.min(48, count)) }, (_, i) => <i key={i} />)}</div>
);

export function toggle(store: ExplorerStore, layer: string, tile: Tile): void {
  const name = tile.off ? "switch_on" : "switch_off";
  store.command(name, { layer, channel: tile.id }, { key: `${name} ${layer} ${tile.id}` });
}

function TileStage({ panel, size, dark }: { panel: Panel; size: SizeName; dark: boolean }) {
  const store = useExplorer();
  const channel = heldChannel(store);
  const [select] = useState(() => (id: number): void => store.set("channel", id));
  const [off] = useState(() => (tile: Tile): void => toggle(store, store.shown.panel?.layer ?? "", tile));
  const { raster, other, difference } = panel;
  const compared = Boolean(other || difference);
  const parts = useMemo(() => (compared ? [raster, other, difference] : [raster]), [raster, other, difference]);
  if (!raster && (!panel.busy || panel.tiles.length === 0)) return panel.busy ? <Coming count={48} text={panel.busy} /> : null;
  const at = panel.tiles.findIndex((each) => each.id === channel);
  const range = raster?.ranges?.[at];
  const own = range ? { range, label: panel.tiles[at]!.label } : null;
  return (
    <>
      {compared && <p class="cap parts" data-nnw-parts="">{words.partsHint}: <b>{words.parts.dense}</b> · <b>{words.parts.other}</b> · <b>{words.parts.difference}</b></p>}
      <Tiles name={CHARTS[panel.view]} label={words.tilesOf(panel.title)} tiles={panel.tiles} rasters={parts} size={size} dark={dark} selected={channel}
        onSelect={select} onToggle={panel.view === "maps" || panel.view === "filters" ? off : undefined} />
      <div class="scales">
        {raster && <Scale raster={raster} dark={dark} own={own} {...(compared ? { title: `${words.parts.dense}, ${words.parts.other}` } : {})} />}
        {difference && <Scale raster={difference} dark={dark} title={words.parts.difference} />}
      </div>
    </>
  );
}

function Stage({ panel, size, dark }: { panel: Panel; size: SizeName; dark: boolean }) {
  const charts = Object.entries(panel.charts);
  if (panel.ask) return <Ask ask={panel.ask} />;
  if (panel.empty) return (
    <>
      {panel.view === "training" && <Training />}
      <div class="empty" data-nnw-empty=""><p>{panel.empty}</p>{panel.view === "top9" && <FindTop label={words.findTop} />}</div>
    </>
  );
  return (
    <>
      {panel.view === "training" && <Training />}
      {panel.view === "top9" ? (panel.columns.length ? <><TopNine panel={panel} dark={dark} /><p><FindTop label={words.findAgain} link /></p></> : <div class="empty"><FindTop label={words.findTop} /></div>)
        : panel.view === "deconvnet" ? <Columns panel={panel} dark={dark} />
        : null}
      {charts.length > 0 && <div class={panel.view === "training" ? "charts two" : "charts"}>{charts.map(([name, chart]) => (
        <div key={name} class="chart-block"><h4>{chart.title}</h4><ChartView name={name} chart={chart} /></div>
      ))}</div>}
      {panel.view !== "top9" && panel.view !== "deconvnet" && <TileStage panel={panel} size={size} dark={dark} />}
      <FigureList figures={panel.figures} />
    </>
  );
}

function FindTop({ label, link = false }: { label: string; link?: boolean }) {
  const store = useExplorer();
  return <CommandButton command="find_top" className={link ? "link" : "main"} disabled={Boolean(store.get("task"))}>{label}</CommandButton>;
}

export function Middle({ dark }: { dark: boolean }) {
  const store = useExplorer();
  const [size, setSize] = useState<SizeName>("medium");
  const { panel, tree } = store.shown;
  const layer = store.value("layer", "");
  const view = store.value("view", "maps");
  const stale = !panel || panel.layer !== layer || panel.view !== view;
  return (
    <section class="middle" aria-label={panel?.title || words.view}>
      <Tabs nodes={tree ?? []} layer={layer} />
      <Tools panel={panel} view={view} size={size} onSize={setSize} />
      <div class={stale ? "stage faded" : "stage"} aria-busy={stale || Boolean(panel?.busy)} data-nnw-panel={panel?.view} data-nnw-of={panel?.layer}>
        <div class="said">
          <div class="headline">
            <h3 class="title">{panel?.title}</h3>
            {panel && <HelpButton control={panel.view} label={words.views[panel.view]} />}
            {panel?.busy && <span class="busy" data-nnw-busy=""><i aria-hidden="true" />{panel.busy}</span>}
          </div>
          <p class="cap caption">{panel?.caption}{panel?.notes.map((note, i) => <span key={i} class={`says r-${note.role ?? "muted"}`}>{note.text}</span>)}</p>
        </div>
        {panel ? <Boundary mark={panel} message={strings.drawFailed}><Stage panel={panel} size={size} dark={dark} /></Boundary> : <Coming count={48} text={words.busyTiles} />}
      </div>
    </section>
  );
}
