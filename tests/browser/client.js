// The client of the guide, for a file that a person picks.
import { convert } from "./guide-client.js";

const input = Object.assign(document.createElement("input"), { type: "file" });
document.body.append(input);
window.convertPicked = () => convert(input.files[0]);
