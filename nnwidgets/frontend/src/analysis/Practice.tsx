// Practice: a planted fault is searched for, named, and the answer is scored.
import { useState } from "preact/hooks";
import { words } from "../analysis_strings";
import type { Practice } from "../analysis_wire";
import { CommandButton } from "../controls/Button";
import { NumberInput } from "../controls/NumberInput";
import { Popover } from "../controls/Popover";
import { Segmented } from "../controls/Segmented";
import { Select } from "../controls/Select";
import { useAnalysis } from "./contract";

const LARGEST = 9999;
const drawn = (): number => 1 + Math.floor(Math.random() * LARGEST);
const WAYS = [{ value: "chance", label: words.byChance }, { value: "seed", label: words.bySeed }];

function Start({ close }: { close: () => void }) {
  const store = useAnalysis();
  const [way, setWay] = useState("chance");
  const [seed, setSeed] = useState(1);
  const start = (): void => {
    store.command("practice", { seed: way === "chance" ? drawn() : seed });
    close();
  };
  return (
    <div class="menu">
      <h3>{words.practiceTitle}</h3>
      <p>{words.practiceHow}</p>
      <Segmented control="fault" label={words.fault} choices={WAYS} value={way} onValue={(value) => setWay(String(value))} />
      {way === "seed" && <>
        <NumberInput control="practice_seed" label={words.seed} value={seed} min={0} max={LARGEST} step={1} whole onValue={setSeed} />
        <p class="cap">{words.seedHow}</p>
      </>}
      <button type="button" class="main" data-nnw-action="practice" onClick={start}>{words.start}</button>
    </div>
  );
}

export function PracticeButton() {
  return (
    <Popover label={words.practiceTitle} name={words.practiceTitle} action="practice_menu" text={words.practice}>
      {(close) => <Start close={close} />}
    </Popover>
  );
}

function Guess({ practice }: { practice: Practice }) {
  const [cause, setCause] = useState(practice.guess);
  const choices = [{ value: "", label: words.choose }, ...practice.options];
  return (
    <div class="row start">
      <Select control="guess" label={words.cause} choices={choices} value={cause} onValue={(value) => setCause(String(value))} />
      <CommandButton command="guess" args={{ cause }} disabled={!cause} className="main">{words.commit}</CommandButton>
    </div>
  );
}

function Outcome({ practice }: { practice: Practice }) {
  const name = (value: string): string => practice.options.find((each) => each.value === value)?.label ?? value;
  return (
    <dl class="outcome">
      <div><dt>{words.guessed}</dt><dd data-nnw-value="guess">{name(practice.guess)}</dd></div>
      <div><dt>{words.truth}</dt><dd data-nnw-value="truth">{name(practice.truth)}</dd></div>
      {practice.score && <div><dt>{words.score}</dt><dd data-nnw-value="score">{practice.score}</dd></div>}
    </dl>
  );
}

export function PracticeBox() {
  const practice = useAnalysis().shown.practice;
  if (!practice || practice.state === "off") return null;
  const revealed = practice.state === "revealed";
  return (
    <section class="card practice" aria-label={words.practiceTitle} data-nnw-practice={practice.state}>
      <div class="row head">
        <h3 class="title">{words.practiceTitle}</h3>
        <span class="cap">{words.faultNumber(practice.seed)}, {words.used(practice.used)}</span>
      </div>
      {practice.text && <p>{practice.text}</p>}
      {revealed ? <Outcome practice={practice} /> : <Guess key={practice.seed} practice={practice} />}
      <div class="row start">
        {revealed && <CommandButton command="save" args={{ what: "practice" }}>{words.saveResult}</CommandButton>}
        <CommandButton command="end_practice">{words.end}</CommandButton>
      </div>
    </section>
  );
}
