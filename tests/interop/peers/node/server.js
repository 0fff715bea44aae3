// An LwM2M server of lwm2m-node-lib that a test drives by one JSON object per line: commands on
// stdin, answers and events on stdout. It ends when stdin does. Argument: the directory of the
// installed packages.
'use strict';

const path = require('path');
const readline = require('readline');
const { server } = require(path.join(process.argv[2], 'node_modules', 'lwm2m-node-lib'));

const settings = {
    port: 0,
    lifetimeCheckInterval: 1000,
    udpWindow: 100,
    defaultType: 'Device',
    types: [],
    logLevel: 'FATAL',
    ipProtocol: 'udp4',
    serverProtocol: 'udp4',
    formats: [],
    writeFormat: 'text/plain',
    defaultAcceptFormat: 'text/plain',
};

const emit = (line) => process.stdout.write(`${JSON.stringify(line)}\n`);

function device(endpoint) {
    return new Promise((resolve, reject) => {
        server.getDevice(endpoint, (error, found) => (error ? reject(error) : resolve(found)));
    });
}

// The library's calls end with (error, result).
function told(call, ...given) {
    return new Promise((resolve, reject) => {
        call(...given, (error, result) => (error ? reject(error) : resolve(result)));
    });
}

async function perform(command) {
    const { id } = await device(command.endpoint);
    const ids = command.path.split('/').slice(1);
    switch (command.do) {
    case 'read':
        return told(server.read, id, ...ids);
    case 'write':
        return told(server.write, id, ...ids, command.value);
    case 'execute':
        return told(server.execute, id, ...ids, command.value);
    case 'discover':
        return told(server.discover, id, ...ids);
    case 'attributes':
        return told(server.writeAttributes, id, ...ids, command.attributes);
    case 'observe':
        return told(server.observe, id, ...ids, (content) =>
            emit({ event: 'notification', endpoint: command.endpoint, path: command.path, content }));
    case 'cancel':
        return told(server.cancelObserver, id, ...ids);
    default:
        throw new Error(`unknown command ${command.do}`);
    }
}

server.start(settings, (error, started) => {
    if (error) {
        throw error;
    }
    // The library sends through its own port.
    settings.port = started.server._sock.address().port;
    server.setHandler(started, 'registration', (endpoint, lifetime, version, binding, links, done) => {
        emit({ event: 'registered', endpoint, lifetime, version, binding, links });
        done();
    });
    server.setHandler(started, 'updateRegistration', (found, links, done) => {
        emit({ event: 'updated', endpoint: found.name, lifetime: found.lifetime, links });
        done();
    });
    server.setHandler(started, 'unregistration', (found, done) => {
        emit({ event: 'deregistered', endpoint: found.name });
        done();
    });
    emit({ event: 'ready', port: settings.port });
    const lines = readline.createInterface({ input: process.stdin });
    lines.on('line', (line) => {
        const command = JSON.parse(line);
        perform(command).then(
            (content) => emit({ id: command.id, content }),
            (failed) => emit({ id: command.id, error: failed.code || failed.name, words: String(failed.message) }),
        );
    });
    lines.on('close', () => process.exit(0));
});
