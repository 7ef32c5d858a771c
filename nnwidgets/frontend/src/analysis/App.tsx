import { useState } from "preact/hooks";
import { words } from "../analysis_strings";
import { Boundary } from "../Boundary";
import { Segmented } from "../controls/Segmented";
import { useChanges } from "../controls/useStore";
import { Banners } from "../shell/Banners";
import { Live } from "../shell/Live";
import { Shell } from "../shell/Shell";
import { strings } from "../strings";
import { Board } from "./Board";
import { useAnalysis, type AnalysisStore } from "./contract";
import { DetailCard } from "./Detail";
import { FlowChart } from "./Flow";
import { NumberLine } from "./NumberLine";
import { PracticeBox } from "./Practice";
import { HallBanner, TaskLine, Top } from "./Top";
import { Track } from "./Track";

function Skeleton() {
  return (
    <div class="skeleton">
      <p class="cap">{words.loading}</p>
      <div class="analysis" aria-hidden="true">
        <div class="map"><div class="card"><i class="short" /><i /></div><div class="card"><i class="tall" /><i class="plot" /><i class="plot" /></div></div>
        <div class="card"><i class="short" /><i class="tall" /><i /><i /><i class="plot" /></div>
      </div>
    </div>
  );
}

function PanelButtons() {
  const store = useAnalysis();
  const panels = store.get("options")?.panel ?? [];
  if (panels.length === 0) return null;
  const choices = panels.some((each) => each.value === "") ? panels : [{ value: "", label: words.none }, ...panels];
  return (
    <div class="panel-buttons">
      <Segmented control="panel" label={words.panel} choices={choices} value={store.value("panel", "")}
        onValue={(value) => store.set("panel", String(value))} />
    </div>
  );
}

function Body({ dark }: { dark: boolean }) {
  const { line, flow, detail, board, track } = useAnalysis().shown;
  return (
    <>
      <PracticeBox />
      <div class="analysis">
        <div class="map">
          <Boundary mark={line} message={strings.drawFailed}>{line && <NumberLine line={line} />}</Boundary>
          <Boundary mark={flow} message={strings.drawFailed}>{flow && <FlowChart flow={flow} />}</Boundary>
        </div>
        <Boundary mark={detail} message={strings.drawFailed}><DetailCard /></Boundary>
      </div>
      <PanelButtons />
      <Boundary mark={board} message={strings.drawFailed}><Board dark={dark} /></Boundary>
      <Boundary mark={track} message={strings.drawFailed}><Track /></Boundary>
    </>
  );
}

export function App({ store }: { store: AnalysisStore }) {
  useChanges(store);
  const [large, setLarge] = useState(false);
  const { about, flow, loaded, seq } = store.shown;
  const name = about?.title || words.name;
  return (
    <Shell store={store} kind="error-analysis" name={name} large={large}>
      {({ dark }) => (
        <>
          <Top title={name} large={large} onLarge={setLarge} />
          <TaskLine />
          <Banners />
          <HallBanner />
          <Boundary mark={seq} message={strings.drawFailed}>{loaded ? <Body key={String(large)} dark={dark} /> : <Skeleton />}</Boundary>
          <Live sentence={flow?.sentence ?? ""} />
        </>
      )}
    </Shell>
  );
}
