import { answer } from "./imported.js";
import("./dynamic.js");
document.documentElement.dataset.module = answer;
