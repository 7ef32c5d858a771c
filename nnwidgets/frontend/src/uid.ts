// Ids that differ between widgets on one page (each loads its own copy of this module).
const prefix = `nnw${Math.random().toString(36).slice(2, 8)}`;
let count = 0;
export const uid = (): string => `${prefix}-${++count}`;
