import { CommandButton } from "../controls/Button";
import { useStore } from "../controls/useStore";
import { strings } from "../strings";
import type { Failure } from "../wire";

/** A title ends as a sentence does, however it was written. */
export const sentence = (title: string): string => (/[.!?…:]$/.test(title) ? title : `${title}.`);

function FailureBanner({ error }: { error: Failure }) {
  return (
    <div class="banner r-bad" role="alert" data-nnw-error="">
      <p><b class="lead">{sentence(error.title)}</b> {error.message} {error.next}</p>
      <div class="row start">
        {error.retry && <CommandButton command="retry">{strings.retry}</CommandButton>}
        <CommandButton command="dismiss">{strings.dismiss}</CommandButton>
      </div>
      {error.traceback && <details><summary>{strings.details}</summary><pre tabIndex={0}>{error.traceback}</pre></details>}
    </div>
  );
}

/** The error, what Python has to say, and whether the kernel is still there. */
export function Banners() {
  const store = useStore();
  const error = store.get("error");
  const link = store.link;
  return (
    <>
      {error && <FailureBanner error={error} />}
      {link !== "live" && <div class="banner r-warn" role="status" data-nnw-notice="disconnected"><p>{link === "gone" ? strings.gone : strings.silent}</p></div>}
      {(store.get("notices") ?? []).map((notice) => (
        <div key={notice.id} class={`banner r-${notice.role ?? "warn"}`} role="status" data-nnw-notice={notice.id}>
          <div class="row"><p>{notice.text}</p><CommandButton command="dismiss" args={{ id: notice.id }}>{strings.dismiss}</CommandButton></div>
        </div>
      ))}
    </>
  );
}
