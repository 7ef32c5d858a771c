import type { ComponentChildren } from "preact";
import { strings } from "../strings";
import type { Word } from "./Shell";

interface Props {
  title: string;
  subtitle: string | undefined;
  word: Word;
  rest?: string; // what "exact" is called here
  children: ComponentChildren;
}

/** The line at the top: what this is, of what, how it stands, and its buttons. */
export function Bar({ title, subtitle, word, rest, children }: Props) {
  return (
    <header class="bar">
      <h2>{title}</h2>
      <span class="cap sub">{subtitle}</span>
      <span class="sp" />
      <span class={`status ${word}`} data-nnw-word={word}><i aria-hidden="true" />{word === "exact" && rest ? rest : strings[word]}</span>
      <span class="row start">{children}</span>
    </header>
  );
}
