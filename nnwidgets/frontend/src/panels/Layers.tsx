import type { JSX } from "preact";
import { byHand, numbers, prunable } from "../choices";
import { continuous, percent } from "../controls/positions";
import { Track } from "../controls/Slider";
import { HelpButton } from "../controls/Help";
import { useLab } from "../lab";
import { strings } from "../strings";
import type { Layer, LayerRow } from "../wire";

const SHARE = continuous(0, 0.99, 0.01);

interface RowProps {
  row: LayerRow;
  layer: Layer | undefined;
  structure: string;
  chosen: boolean;
}

/** Bits of one layer; where all have the same again, the slider has them. */
function BitsOf({ row, name }: { row: LayerRow; name: string }) {
  const store = useLab();
  const rows = store.get("layer_rows") ?? [];
  const list = numbers((store.get("options") ?? {}).weight_bits);
  const held = store.value("weight_bits", 32);
  const bitsOf = (each: LayerRow): number => (typeof held === "number" ? held : held[each.name] ?? each.bits);
  const write = (bits: number): void => {
    const all = Object.fromEntries(rows.map((each) => [each.name, each.name === row.name ? bits : bitsOf(each)]));
    const same = new Set(Object.values(all)).size === 1;
    store.write("weight_bits", same ? bits : all, { discrete: true });
  };
  return (
    <span class="control" data-nnw-control={`weight_bits:${row.name}`}>
      <select aria-label={strings.layerBits(name)} value={bitsOf(row)} onChange={(event) => write(Number(event.currentTarget.value))}>
        {list.map((bits) => <option key={bits} value={bits}>{bits}</option>)}
      </select>
    </span>
  );
}

function Row({ row, layer, structure, chosen }: RowProps) {
  const store = useLab();
  const allocation = store.get("allocation");
  const set = typeof allocation === "object" ? allocation[row.name] : undefined;
  const key = `allocation:${row.name}`;
  const amount = store.held(key, set ?? row.amount);
  const name = layer?.label || row.name;
  const write = (value: number): void => {
    const all = { ...byHand(store.get("layer_rows") ?? [], store.get("layers") ?? [], structure, allocation), [row.name]: value };
    store.write("allocation", all, { key, seen: value });
  };
  return (
    <tr class={chosen ? "chosen" : ""} data-nnw-layer={row.name}>
      <th scope="row"><span>{name}</span> <span class="cap">{[layer?.kind, layer?.shape].filter(Boolean).join(" ")}</span></th>
      <td class="amount">
        {prunable(layer, structure) ? (
          <span class="control" data-nnw-control={key}>
            <Track hold={key} label={strings.layerAmount(name)} range={SHARE} value={amount} text={percent(amount)} onValue={write} />
            <output class="read">{percent(amount)}</output>
          </span>
        ) : <span class="cap">{strings.notPrunable}</span>}
      </td>
      <td><BitsOf row={row} name={name} /></td>
      <td>{row.kept}</td><td>{row.bytes}</td><td>{row.macs}</td>
    </tr>
  );
}

export function Layers({ open, onToggle }: { open: boolean; onToggle: (open: boolean) => void }) {
  const store = useLab();
  const rows = store.get("layer_rows") ?? [];
  const known = new Map((store.get("layers") ?? []).map((layer) => [layer.name, layer]));
  const structure = store.value("structure", "weight");
  const chosen = store.value("selected_layer", "");
  const toggle = (event: JSX.TargetedEvent<HTMLDetailsElement>): void => onToggle(event.currentTarget.open);
  if (rows.length === 0) return null;
  const { columns } = strings;
  return (
    <details class="card layers-table" open={open} onToggle={toggle}>
      <summary><h3>{strings.layersTable}</h3><span class="cap">{strings.layersHint}</span></summary>
      {open && (
        <div class="scroll">
          <table>
            <thead><tr><th scope="col">{columns.layer}</th><th scope="col"><span class="name">{columns.amount}<HelpButton control="allocation" label={strings.layersTable} /></span></th><th scope="col">{columns.bits}</th><th scope="col">{columns.kept}</th><th scope="col">{columns.bytes}</th><th scope="col">{columns.macs}</th></tr></thead>
            <tbody>{rows.map((row) => <Row key={row.name} row={row} layer={known.get(row.name)} structure={structure} chosen={row.name === chosen} />)}</tbody>
          </table>
        </div>
      )}
    </details>
  );
}
