// Hands bytes from Python to the browser as a download.

/** A plain file name: no folders, no control characters. */
export const safeName = (name: string): string =>
  String(name).replace(/[\u0000-\u001f\u007f/\\:*?"<>|]+/g, "_").replace(/^\.+/, "").slice(0, 120) || "file";

export function download(name: string, mime: string, bytes: DataView): void {
  const part = new Uint8Array(bytes.buffer as ArrayBuffer, bytes.byteOffset, bytes.byteLength);
  const url = URL.createObjectURL(new Blob([part], { type: mime }));
  const link = document.createElement("a");
  link.href = url;
  link.download = safeName(name);
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}
