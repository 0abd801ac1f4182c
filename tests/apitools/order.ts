// A shop's own program, on the types that openapi-typescript makes of the document: places an order, reads it and the event
// of it, and prints what it saw. Arguments: the gateway's URL, a token of staff, a SKU.
import createClient from 'openapi-fetch';
import type { components, paths, webhooks } from './api.js';

declare const process: { argv: [string, string, string, string, string] };
const [, , baseUrl, token, sku] = process.argv;
const client = createClient<paths>({ baseUrl, headers: { Authorization: `Bearer ${token}` } });

// What may be left out is left out; nothing has to be null.
const wanted: components['schemas']['OrderBody'] = { lines: [{ sku, quantity: 2 }] };
const unchanged: components['schemas']['ProductChangeBody'] = {};

const placed = await client.POST('/api/v1/orders', { params: { header: { Prefer: 'wait=15' } }, body: wanted });
if (placed.error !== undefined) throw new Error(`${placed.error.code}: ${placed.error.detail}`);
if ('command_id' in placed.data && 'status_url' in placed.data) throw new Error('accepted, and no more');

const read = await client.GET('/api/v1/orders/{order_id}', { params: { path: { order_id: placed.data.id } } });
if (read.data === undefined) throw new Error('no order');
const status: 'placed' | 'confirmed' | 'fulfilled' | 'cancelled' | 'expired' = read.data.status;

const refused = await client.POST('/api/v1/orders', {
  params: { header: { Prefer: 'wait=15' } },
  body: { lines: [{ sku, quantity: 1000 }] },
});
if (refused.error?.code !== 'insufficient_stock') throw new Error('sold what there is not');

type Event = components['schemas']['EventView'];
type Delivered = webhooks['order.placed']['post']['requestBody']['content']['application/cloudevents+json'];
const totals: number[] = [];
const log = await client.GET('/api/v1/events', { params: { query: { limit: 50 } } });
for (const event of (log.data?.items ?? []) as Event[]) {
  if (event.type === 'order.placed' && event.data.order_id === read.data.id) {
    const delivered: Delivered = event;
    totals.push(delivered.data.total_minor);
  }
}

console.log(
  JSON.stringify({
    id: read.data.id,
    status,
    total_minor: read.data.total_minor,
    available: refused.error.lines?.[0]?.available,
    totals,
    unchanged,
  }),
);
