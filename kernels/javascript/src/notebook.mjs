// What cells show things with: `display`, and `$$` as IJavascript has it.

import { encoded, formsOf, SHORT } from "./display.mjs";

/**
 * The function `display(value)`: shows a value that is not the cell's own. `display(bundle, {raw:
 * true})` takes a map from MIME type to value, `display.html("…")` and its like one form.
 * `show(data, isMain)` sends, `note` remarks.
 */
export function makeDisplay(show, note) {
  const display = (value, options) => {
    const forms = options?.raw ? encoded(value) : formsOf(value, note);
    return typeof forms.then === "function" ? forms.then((data) => show(data, false)) : show(forms, false);
  };
  for (const [name, mime] of Object.entries(SHORT)) {
    display[name] = (value) => show(encoded({ [mime]: value }), false);
  }
  return display;
}

/**
 * IJavascript's `$$`: `$$.html("…")` and its like give the cell's own value, `$$.async()` keeps the
 * cell open until `$$.done(value)`, `$$.display("name")` shows things besides.
 * `cell()` is the cell that runs, or null.
 */
export function makeDollars(cell, show, note) {
  const result = (data) => {
    const running = cell();
    if (running !== null) running.shown = true;
    show(data, true);
    close(running);
  };
  const close = (running) => {
    if (!running?.open) return;
    running.open = false;
    running.finish();
  };
  const value = (made) => Promise.resolve(made).then((known) => result(known === undefined ? {} : formsOf(known, note)));
  const dollars = {
    async(on = true) {
      const running = cell();
      if (running !== null) running.open = Boolean(on);
      return Boolean(on);
    },
    done: value,
    sendResult: value,
    sendError(error) {
      const running = cell();
      running?.threw(error);
    },
    mime: (bundle) => result(encoded(bundle)),
    display: () => {
      const shown = { mime: (bundle) => show(encoded(bundle), false), close() {} };
      for (const [name, mime] of Object.entries(SHORT)) shown[name] = (data) => show(encoded({ [mime]: data }), false);
      return shown;
    },
    // What was sent cannot be taken back.
    clear() {},
  };
  for (const [name, mime] of Object.entries(SHORT)) dollars[name] = (data) => result(encoded({ [mime]: data }));
  return dollars;
}
