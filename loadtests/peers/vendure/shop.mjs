// A Vendure shop as it is run in production: `node shop.mjs server N` serves both APIs from N processes on one port,
// `node shop.mjs worker` does its jobs, and `node shop.mjs prepare` makes the tables and serves, so that goods and terms
// can be stated over the Admin API. Each process writes one line, "ready", when it is.
//
// What differs from the configuration that @vendure/create writes is what this does without, all of it work for Vendure:
// mail, assets, dashboards, schedules, and stock in the search index, so that a checkout leaves no job for the worker.
// Sessions are cached in memory, the fastest way: a shopper stays on one connection, and so with one process.
import cluster from 'node:cluster';
import {
    DefaultJobQueuePlugin,
    DefaultLogger,
    DefaultSearchPlugin,
    LogLevel,
    bootstrap,
    bootstrapWorker,
    dummyPaymentHandler,
} from '@vendure/core';

const [role, processes] = process.argv.slice(2);

const config = {
    apiOptions: {
        hostname: process.env.SHOP_HOST,
        port: Number(process.env.SHOP_PORT),
        adminApiPath: 'admin-api',
        shopApiPath: 'shop-api',
        cors: { origin: [], credentials: true },
    },
    authOptions: {
        tokenMethod: ['bearer'],
        superadminCredentials: {
            identifier: process.env.SHOP_ADMIN,
            password: process.env.SHOP_PASSWORD,
        },
    },
    dbConnectionOptions: {
        type: 'postgres',
        url: process.env.SHOP_DATABASE_URL,
        synchronize: role === 'prepare',
        logging: false,
        poolSize: Number(process.env.SHOP_POOL),
    },
    logger: new DefaultLogger({ level: LogLevel.Warn, timestamp: false }),
    paymentOptions: { paymentMethodHandlers: [dummyPaymentHandler] },
    plugins: [
        DefaultJobQueuePlugin.init({ useDatabaseForBuffer: true }),
        DefaultSearchPlugin.init({ bufferUpdates: role === 'prepare', indexStockStatus: false }),
    ],
};

async function run() {
    if (role === 'worker') {
        const worker = await bootstrapWorker(config);
        await worker.startJobQueue();
    } else {
        await bootstrap(config);
    }
    process.stdout.write('ready\n');
}

if (role === 'server' && cluster.isPrimary && Number(processes) > 1) {
    for (let started = 0; started < Number(processes); started += 1) {
        cluster.fork();
    }
    cluster.on('exit', () => process.exit(1));
} else {
    await run();
}
