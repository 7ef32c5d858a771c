import type { JSX } from "preact";
import { useState } from "preact/hooks";
import { copy } from "../clipboard";
import { CommandButton } from "../controls/Button";
import { Check } from "../controls/Check";
import { HelpButton } from "../controls/Help";
import { Select } from "../controls/Select";
import { useDraft } from "../controls/useDraft";
import { useLab } from "../lab";
import { Progress } from "../shell/Progress";
import { strings } from "../strings";
import type { ExportView, Exported } from "../wire";
import { Panel } from "./Panel";

/** A file name, without its ending. */
function Name({ ending }: { ending: string }) {
  const store = useLab();
  const draft = useDraft();
  const value = store.value("export_name", "network");
  const onChange = (event: JSX.TargetedEvent<HTMLInputElement>): void => {
    draft.drop();
    if (event.currentTarget.value !== value) store.set("export_name", event.currentTarget.value);
  };
  return (
    <div class="control" data-nnw-control="export_name">
      <span class="name"><span>{strings.fileName}</span><HelpButton control="export_name" label={strings.fileName} /></span>
      <span class="row"><input type="text" aria-label={strings.fileName} value={draft.text ?? value} maxLength={120} {...draft.on} onChange={onChange} /><span class="cap">{ending}</span></span>
    </div>
  );
}

/** Where it is, how large, and the lines that read it. */
function Written({ file }: { file: Exported }) {
  const store = useLab();
  const [failed, setFailed] = useState(false);
  const onCopy = async (): Promise<void> => {
    const done = await copy(file.load);
    setFailed(!done);
    store.say(done ? strings.copied : strings.copyFailed);
  };
  return (
    <div class="written" data-nnw-exported={file.path}>
      <p><b>{strings.written(file.path, file.size)}</b> <span class="cap">{file.of}{file.earlier ? `, ${strings.ofEarlier}` : ""}; {file.folder}</span></p>
      <pre tabIndex={0}>{file.load}</pre>
      <button type="button" data-nnw-action="copy_lines" onClick={onCopy}>{strings.copyLines}</button>
      {failed && <p class="cap">{strings.copyFailed}</p>}
      {file.notes.map((note) => <p key={note} class="cap">{note}</p>)}
    </div>
  );
}

function Export({ view, busy }: { view: ExportView; busy: boolean }) {
  const store = useLab();
  const format = store.value("export_format", "state_dict");
  const task = store.get("task") ?? null;
  const last = store.get("last_task");
  const file = store.get("exported") ?? null;
  return (
    <section aria-label={strings.exportIt}>
      <div class="choices">
        <Select control="export_format" label={strings.format} choices={view.formats} value={format} onValue={(v) => store.set("export_format", String(v))} />
        <Name ending={view.endings[format] ?? ""} />
        {view.small_off ? <p class="cap">{strings.smaller}: {view.small_off}</p> : (
          <Check control="export_materialized" label={strings.smaller} value={store.value("export_materialized", false)} onValue={(v) => store.set("export_materialized", v)} />
        )}
        <CommandButton command="export" className="main" disabled={busy}>{strings.exportIt}</CommandButton>
      </div>
      {view.refused && (
        <p class="r-warn refused">{view.refused.text} {view.refused.replace && <CommandButton command="export" mark="replace" args={{ replace: true }} disabled={busy}>{strings.replaceIt}</CommandButton>}</p>
      )}
      {task?.name === "export" && <Progress task={task} />}
      {!task && last?.name === "export" && last.role !== "good" && <p class={`cap r-${last.role ?? "muted"}`}>{last.text}</p>}
      {file && <Written file={file} />}
    </section>
  );
}

/** What a file of the present state holds, what it takes in energy, and whether sparse products pay on this machine. */
function Holds({ busy }: { busy: boolean }) {
  const store = useLab();
  const { charts } = store.shown;
  const about = store.get("file_about");
  const task = store.get("task") ?? null;
  return (
    <>
      <div class="choices">
        <CommandButton command="measure_encodings" disabled={busy}>{strings.encodingsAsk}</CommandButton>
        {about?.csr_off ? <span class="cap">{strings.crossoverAsk} {about.csr_off}</span> : <CommandButton command="measure_crossover" disabled={busy}>{strings.crossoverAsk}</CommandButton>}
      </div>
      {(task?.name === "encodings" || task?.name === "crossover") && <Progress task={task} />}
      {charts["encodings"] && (
        <div class="pair">
          <Panel name="encodings" chart={charts["encodings"]} below={<p class="cap">{charts["encodings"].description}</p>} />
          {charts["energy"] && <Panel name="energy" chart={charts["energy"]} below={<p class="cap">{charts["energy"].description}</p>} />}
        </div>
      )}
      {charts["crossover"] && (
        <Panel name="crossover" chart={charts["crossover"]} below={(
          <>
            <p class="cap">{strings.noGain}</p>
            <details><summary class="cap">{strings.asText}</summary><ul class="cap">{(about?.csr ?? []).map((line) => <li key={line}>{line}</li>)}</ul></details>
          </>
        )} />
      )}
    </>
  );
}

export function Files() {
  const store = useLab();
  const [open, setOpen] = useState(false);
  const view = store.get("export_view");
  if (!view?.formats) return null;
  const busy = Boolean(store.get("task"));
  return (
    <details class="card files" open={open} onToggle={(event) => setOpen(event.currentTarget.open)}>
      <summary><h3>{strings.files}</h3><span class="cap">{strings.filesHint}</span></summary>
      {open && <><Export view={view} busy={busy} /><Holds busy={busy} /></>}
    </details>
  );
}
