// What every module needs of the page.

export const byId = (id) => document.getElementById(id);

// Only what changed is written, so that assistive technology and the painter are left alone.
export function write(element, text) {
  if (element.textContent !== text) {
    element.textContent = text;
  }
}

export const set = (id, text) => write(byId(id), text);

export function mark(element, name, value) {
  if (element.dataset[name] !== value) {
    element.dataset[name] = value;
  }
}

// A row of a table from its cells' texts; those from `numbersFrom` on are numbers.
export function row(texts, numbersFrom) {
  const line = document.createElement("tr");
  texts.forEach((text, index) => {
    const cell = line.insertCell();
    cell.textContent = text;
    cell.className = index >= numbersFrom ? "number" : "";
  });
  return line;
}
