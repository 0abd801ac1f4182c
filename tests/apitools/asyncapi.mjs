// Reads an AsyncAPI document from standard input and prints, as JSON, what AsyncAPI's own parser has to say about it.
import { Parser } from '@asyncapi/parser';
import { text } from 'node:stream/consumers';

const { document, diagnostics } = await new Parser().parse(await text(process.stdin));
console.log(JSON.stringify({ parsed: document !== undefined, diagnostics }));
