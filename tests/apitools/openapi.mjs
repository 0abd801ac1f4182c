// Reads an OpenAPI document from standard input and prints, as JSON, what Redocly and Spectral have to say about it:
// [{rule, place, message}]. These are the engines of `redocly lint` and `spectral lint`, without the programs around them,
// which are large and ask the network for newer versions of themselves.
import { createConfig, lintFromString } from '@redocly/openapi-core';
import spectral from '@stoplight/spectral-core';
import rulesets from '@stoplight/spectral-rulesets';
import { readFileSync } from 'node:fs';
import { text } from 'node:stream/consumers';

const source = await text(process.stdin);

const redocly = await lintFromString({
  source,
  absoluteRef: 'openapi.json',
  config: await createConfig(readFileSync(new URL('redocly.yaml', import.meta.url), 'utf8')),
});

// All rules, also those that Spectral does not recommend by itself, but for two.
const linter = new spectral.Spectral();
linter.setRuleset({
  extends: [[rulesets.oas, 'all']],
  rules: {
    'contact-properties': 'off', // who operates a gateway is not known here, so there is no address to give
    'openapi-tags-alphabetical': 'off', // they stand in the order in which a shop meets them
  },
});

console.log(
  JSON.stringify([
    ...redocly.map(({ ruleId, location, message }) => ({ rule: ruleId, place: location[0]?.pointer, message })),
    ...(await linter.run(source)).map(({ code, path, message }) => ({ rule: code, place: path.join(' '), message })),
  ]),
);
