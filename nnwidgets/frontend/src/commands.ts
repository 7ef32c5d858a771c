// Every command of every widget.
import type { AnalysisCommand } from "./analysis_wire";
import type { CommandName as ExplorerCommand } from "./explorer_wire";
import type { CommandName as LabCommand } from "./wire";

export type AnyCommand = LabCommand | ExplorerCommand | AnalysisCommand;
