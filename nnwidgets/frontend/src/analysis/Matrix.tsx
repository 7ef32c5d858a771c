// The confusion matrix as a table: figures in cells, shaded by their share of the row.
import { words } from "../analysis_strings";
import type { Matrix } from "../analysis_wire";
import { useAnalysis } from "./contract";

const DARKEST = 0.55; // share of the hue at which figures are still read in both themes

/** The square root of the share, so that 2 % can still be told from none. */
export const shadeOf = (count: number, total: number): number => (total > 0 && count > 0 ? Math.min(DARKEST, Math.sqrt(count / total)) : 0);

interface CellProps {
  matrix: Matrix;
  i: number;
  j: number;
  total: number;
  onPair: (pair: string) => void;
}

function Count({ matrix, i, j, total, onPair }: CellProps) {
  const count = matrix.counts[i]?.[j] ?? 0;
  const [pair, said] = [`${i},${j}`, words.cell(matrix.labels[i] ?? "", matrix.labels[j] ?? "", count)];
  const style = { "--shade": `${(100 * shadeOf(count, total)).toFixed(0)}%` };
  if (i === j) return <td class="right" style={style}>{count}</td>;
  if (count === 0) return <td class="zero">0</td>;
  return (
    <td class="wrong" style={style}>
      <button type="button" aria-label={said} title={said} data-nnw-pair={pair} onClick={() => onPair(pair)}>{count}</button>
    </td>
  );
}

export function MatrixView({ matrix, title }: { matrix: Matrix; title: string }) {
  const store = useAnalysis();
  const onPair = (pair: string): void => {
    store.set("pair", pair);
    store.set("panel", "worst");
  };
  return (
    <div class="scroll matrix" tabIndex={0} role="group" aria-label={title} data-nnw-chart="confusion">
      <table>
        <thead><tr><th scope="col">{words.matrixCorner}</th>{matrix.labels.map((label) => <th key={label} scope="col">{label}</th>)}</tr></thead>
        <tbody>
          {matrix.labels.map((label, i) => {
            const total = (matrix.counts[i] ?? []).reduce((sum, count) => sum + count, 0);
            return (
              <tr key={label}>
                <th scope="row">{label}</th>
                {matrix.labels.map((_, j) => <Count key={j} matrix={matrix} i={i} j={j} total={total} onPair={onPair} />)}
              </tr>
            );
          })}
        </tbody>
      </table>
    </div>
  );
}
