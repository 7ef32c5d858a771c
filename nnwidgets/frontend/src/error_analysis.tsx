// Entry of the error analysis.
import { App } from "./analysis/App";
import { ANALYSIS } from "./analysis/contract";
import { widget } from "./mount";

export default widget(ANALYSIS, App);
