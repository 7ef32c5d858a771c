// A file that is to be sent: said what is wrong with it before anything leaves. Pure.
import { words } from "../explorer_strings";

const KINDS = /^image\/(png|jpe?g|webp|bmp|gif|tiff|x-ms-bmp)$/i;
const NAMES = /\.(png|jpe?g|webp|bmp|gif|tiff?)$/i;

/** The sentence that refuses the file, or "". */
export function refusal({ name, size, type }: { name: string; size: number; type: string }, limit: number): string {
  if (!(KINDS.test(type) || (type === "" && NAMES.test(name)))) return words.notImage(name);
  return size > limit ? words.tooLarge(name, words.megabytes(size), words.megabytes(limit)) : "";
}
