// Entry of the compression lab.
import { LAB } from "./lab";
import { widget } from "./mount";
import { App } from "./panels/App";

export default widget(LAB, App);
