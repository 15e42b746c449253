// `node main.mjs --control FD [--language typescript]`: runs the cells of one context.

import fs from "node:fs";
import { parseArgs } from "node:util";

import { Kernel } from "./src/kernel.mjs";
import { takeOver } from "./src/output.mjs";

const USAGE = "usage: node main.mjs --control FD [--language javascript|typescript]";

function refuse(text, status) {
  process.stderr.write(`${text}\n`);
  process.exit(status);
}

function given() {
  try {
    const { values } = parseArgs({ options: { control: { type: "string" }, language: { type: "string" } } });
    const language = values.language ?? "javascript";
    if (!/^\d+$/.test(values.control ?? "") || !["javascript", "typescript"].includes(language)) refuse(USAGE, 2);
    return { control: Number(values.control), language };
  } catch {
    return refuse(USAGE, 2);
  }
}

function check(control) {
  let reason = null;
  try {
    if (control <= 2) reason = "it is a standard stream; the socket must be above 2";
    else if (!fs.fstatSync(control).isSocket()) reason = "it is no socket";
  } catch (error) {
    reason = error.message;
  }
  if (reason !== null) refuse(`cannot serve on descriptor ${control}: ${reason}`, 1);
}

const { control, language } = given();
check(control);
await new Kernel(language).serve(control, takeOver());
