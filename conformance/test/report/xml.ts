/** A strict reader of the XML that a report may hold: throws at whatever is not well-formed. No comments, no CDATA. */
export interface Element {
  readonly name: string;
  readonly attributes: Readonly<Record<string, string>>;
  readonly children: readonly Element[];
  readonly text: string;
}

const ENTITIES: Readonly<Record<string, string>> = { lt: "<", gt: ">", amp: "&", quot: '"' };

const decoded = (text: string): string =>
  text.replace(/&([^;]*;?)/g, (whole, name: string) => {
    const code = /^#(\d+);$/.exec(name);
    const value = code ? String.fromCodePoint(Number(code[1])) : ENTITIES[name.slice(0, -1)];
    if (value === undefined || !name.endsWith(";")) throw new Error(`not an entity: ${whole}`);
    return value;
  });

export function readXml(text: string): Element {
  const illegal = /[^\t\n\r\u0020-\uD7FF\uE000-\uFFFD\u{10000}-\u{10FFFF}]/u.exec(text);
  if (illegal) throw new Error(`a character that XML cannot hold at ${illegal.index}`);
  const declaration = `<?xml version="1.0" encoding="UTF-8"?>\n`;
  if (!text.startsWith(declaration)) throw new Error("no declaration");
  let at = declaration.length;
  const take = (pattern: RegExp): RegExpExecArray => {
    const sticky = new RegExp(pattern.source, "y");
    sticky.lastIndex = at;
    const found = sticky.exec(text);
    if (!found) throw new Error(`expected ${pattern.source} at ${at}: ${text.slice(at, at + 40)}`);
    at = sticky.lastIndex;
    return found;
  };
  const element = (): Element => {
    const [, name, given, end] = take(/<([a-z]+)((?: [a-z]+="[^"<]*")*)(\/?)>/);
    const attributes: Record<string, string> = {};
    for (const [, key = "", value = ""] of given!.matchAll(/ ([a-z]+)="([^"]*)"/g)) {
      if (Object.hasOwn(attributes, key)) throw new Error(`${key} twice`);
      attributes[key] = decoded(value);
    }
    const children: Element[] = [];
    let inside = "";
    if (end !== "/")
      for (;;) {
        inside += decoded(take(/[^<]*/)[0]);
        if (!text.startsWith("</", at)) children.push(element());
        else if (take(/<\/([a-z]+)>/)[1] === name) break;
        else throw new Error(`${name} ends as something else`);
      }
    return { name: name!, attributes, children, text: inside };
  };
  const root = element();
  if (text.slice(at).trim() !== "") throw new Error("more behind the root");
  return root;
}
