// Entry of the layer explorer.
import { App } from "./explorer/App";
import { EXPLORER } from "./explorer/contract";
import { widget } from "./mount";

export default widget(EXPLORER, App);
