// The image that goes into the network: which one, of whom, and what of it the chosen cell sees.
import { useRef, useState } from "preact/hooks";
import { CommandButton } from "../controls/Button";
import { NumberInput } from "../controls/NumberInput";
import { Popover } from "../controls/Popover";
import { Segmented } from "../controls/Segmented";
import { Select } from "../controls/Select";
import { words } from "../explorer_strings";
import type { Box, Input, Unit } from "../explorer_wire";
import { useExplorer, type ExplorerStore } from "./contract";
import { DrawPad } from "./DrawPad";
import { Picture } from "./Picture";
import { Boxed } from "./Tiles";
import { choosePosition } from "./Unit";
import { pointed } from "./UnitMap";
import { refusal } from "./upload";

interface PictureProps {
  input: Input;
  unit: Unit | null | undefined;
  dark: boolean;
  most?: number;
  near?: Box | null; // only this part is shown
}

/** The image with the receptive field on it; a click on the whole image chooses the cell of the map that lies there. */
export function InputPicture({ input, unit, dark, most, near = null }: PictureProps) {
  const store = useExplorer();
  const map = unit?.map;
  const onClick = (event: MouseEvent): void => {
    const cell = map && pointed(event, map);
    if (cell) choosePosition(store, cell);
  };
  return (
    <div data-nnw-chart="input" role="img" aria-label={[input.title, input.caption, unit?.field_text].filter(Boolean).join("; ")}>
      <Picture raster={input.raster} dark={dark} near={near} {...(most === undefined ? {} : { most })}>
        {!near && <div class={map ? "touch" : undefined} onClick={onClick}><Boxed box={unit?.field} raster={input.raster} /></div>}
      </Picture>
    </div>
  );
}

async function send(store: ExplorerStore, files: FileList | null | undefined, onRefusal: (text: string) => void): Promise<void> {
  const file = files?.[0];
  if (!file) return;
  const no = refusal(file, store.shown.about?.max_upload ?? 10e6);
  onRefusal(no);
  if (no) return;
  if (files.length > 1) store.say(words.oneOnly);
  const bytes = await file.arrayBuffer().catch(() => null);
  if (bytes) store.command("upload", { name: file.name, size: bytes.byteLength }, { buffers: [bytes] });
  else onRefusal(words.unreadable(file.name));
}

function Stepper({ input }: { input: Input }) {
  const store = useExplorer();
  const index = store.value("image_index", 0);
  const last = Math.max(0, input.count - 1);
  const go = (to: number): void => {
    if (to >= 0 && to <= last && to !== index) store.set("image_index", to);
  };
  return (
    <div class="stepper">
      <NumberInput control="image_index" label={words.imageOf(input.count)} value={index} min={0} max={last} step={1} whole onValue={(value) => store.set("image_index", value)} />
      <span class="row start pair-buttons">
        <button type="button" aria-label={words.previous} aria-disabled={index <= 0} onClick={() => go(index - 1)}><span aria-hidden="true">‹</span></button>
        <button type="button" aria-label={words.next} aria-disabled={index >= last} onClick={() => go(index + 1)}><span aria-hidden="true">›</span></button>
      </span>
    </div>
  );
}

function Choices() {
  const store = useExplorer();
  const options = store.get("options") ?? {};
  const classes = store.shown.about?.classes ?? [];
  const pick = store.value("pick", "index");
  return (
    <>
      {(options["sample"]?.length ?? 0) > 1 && <Segmented control="sample" label={words.sample} choices={options["sample"]!} value={store.value("sample", "test")} onValue={(v) => store.set("sample", String(v))} />}
      {(options["pick"]?.length ?? 0) > 1 && <Select control="pick" label={words.pick} choices={options["pick"]!} value={pick} onValue={(v) => store.set("pick", String(v))} />}
      {pick === "class" && classes.length > 0 && <Select control="picked_class" label={words.pickedClass} choices={classes.map((label, value) => ({ value, label }))}
        value={store.value("picked_class", 0)} onValue={(v) => store.set("picked_class", Number(v))} />}
    </>
  );
}

export function InputCard({ dark }: { dark: boolean }) {
  const store = useExplorer();
  const { input, unit } = store.shown;
  const [over, setOver] = useState(false);
  const [refused, setRefused] = useState("");
  const file = useRef<HTMLInputElement>(null);
  const layer = store.value("layer", "");
  const carry = (event: DragEvent): void => {
    if (!event.dataTransfer?.types.includes("Files")) return;
    event.preventDefault();
    event.stopPropagation();
    if (event.type === "dragleave" && (event.currentTarget as Element).contains(event.relatedTarget as Element | null)) return;
    setOver(event.type === "dragover" || event.type === "dragenter");
    if (event.type === "drop") void send(store, event.dataTransfer.files, setRefused);
  };
  return (
    <section class={over ? "card input-card over" : "card input-card"} aria-label={words.input} onDragEnter={carry} onDragOver={carry} onDragLeave={carry} onDrop={carry}>
      {input ? (
        <div class="shown">
          <InputPicture input={input} unit={unit && unit.layer === layer ? unit : null} dark={dark} most={15} />
          <div class="text"><p class={`title r-${input.role ?? "ink"}`}>{input.title}</p><p class="cap">{input.caption}</p></div>
        </div>
      ) : <div class="waiting"><i /></div>}
      {over && <p class="drop">{words.drop}</p>}
      {refused && <p class="says r-bad" role="alert" data-nnw-refused="">{refused}</p>}
      {input && <Stepper input={input} />}
      <Choices />
      <div class="row start own">
        <input type="file" accept="image/*" class="hidden" ref={file} tabIndex={-1} aria-label={words.upload} data-nnw-file=""
          onChange={(event) => { void send(store, event.currentTarget.files, setRefused); event.currentTarget.value = ""; }} />
        <button type="button" data-nnw-action="upload" aria-disabled={store.isBusy("upload")} onClick={() => !store.isBusy("upload") && file.current?.click()}>{words.upload}</button>
        {input?.drawable && (
          <Popover label={words.drawTitle} name={words.draw} action="draw" text={words.draw}>
            {(close) => <DrawPad width={input.raster.width} height={input.raster.height} onDone={close} />}
          </Popover>
        )}
        {input && input.index < 0 && <CommandButton command="own_image_off" label={words.backToSample}>{words.back}</CommandButton>}
      </div>
    </section>
  );
}
