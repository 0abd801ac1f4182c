// Reads an AsyncAPI document from standard input and prints, as JSON, what AsyncAPI's own parser has to say about it.
import { Parser } from '@asyncapi/parser';
import { readFileSync } from 'node:fs';

const { document, diagnostics } = await new Parser().parse(readFileSync(0, 'utf8'));
console.log(JSON.stringify({ parsed: document !== undefined, diagnostics }));
