// Objects, watches, errors, logs and commands by @kubernetes/client-node: node scenario.js KUBECONFIG NAMESPACE

import assert from 'node:assert/strict';
import stream from 'node:stream';
import * as k8s from '@kubernetes/client-node';

const [kubeconfig, namespace] = process.argv.slice(2);
const config = new k8s.KubeConfig();
config.loadFromFile(kubeconfig);
const core = config.makeApiClient(k8s.CoreV1Api);
const apps = config.makeApiClient(k8s.AppsV1Api);

async function until(claim) {
    const deadline = Date.now() + 20000;
    for (;;) {
        const found = await claim();
        if (found) return found;
        assert(Date.now() < deadline, `it did not come: ${claim}`);
        await new Promise((wake) => setTimeout(wake, 50));
    }
}

// An informer sees what others do.
const seen = [];
const informer = k8s.makeInformer(config, `/api/v1/namespaces/${namespace}/pods`, () =>
    core.listNamespacedPod({ namespace }),
);
for (const kind of ['add', 'delete']) informer.on(kind, (pod) => seen.push(`${kind} ${pod.metadata.name}`));
await informer.start();

const labels = { app: 'web' };
const template = { metadata: { labels }, spec: { containers: [{ name: 'main', image: 'i' }] } };
const spec = { replicas: 2, selector: { matchLabels: labels }, template };
await apps.createNamespacedDeployment({ namespace, body: { metadata: { name: 'web' }, spec } });
await until(async () => (await apps.readNamespacedDeployment({ namespace, name: 'web' })).status.readyReplicas === 2);
assert.equal(seen.filter((word) => word.startsWith('add')).length, 2);

await apps.patchNamespacedDeployment(
    { namespace, name: 'web', body: [{ op: 'replace', path: '/spec/replicas', value: 1 }] },
    k8s.setHeaderOptions('Content-Type', k8s.PatchStrategy.JsonPatch),
);
await until(() => seen.some((word) => word.startsWith('delete')));
await informer.stop();

// Generic objects, by server-side apply.
const objects = k8s.KubernetesObjectApi.makeApiClient(config);
const map = { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'm', namespace }, data: { a: '1' } };
await objects.patch(map, undefined, undefined, 'client-node', true, k8s.PatchStrategy.ServerSideApply);
assert.equal((await core.readNamespacedConfigMap({ namespace, name: 'm' })).data.a, '1');

// Errors.
await assert.rejects(core.readNamespacedPod({ namespace, name: 'nobody' }), (error) => error.code === 404);

// A log and a command.
const annotations = { 'hollow.bireme.dev/exec': 'hello\n', 'hollow.bireme.dev/log': 'one\ntwo\n' };
await core.createNamespacedPod({ namespace, body: { metadata: { name: 'p', annotations }, spec: template.spec } });
await until(async () => (await core.readNamespacedPod({ namespace, name: 'p' })).status.phase === 'Running');
assert.equal(await core.readNamespacedPodLog({ namespace, name: 'p' }), 'one\ntwo\n');
const output = new stream.PassThrough();
const status = await new Promise((done, failed) => {
    new k8s.Exec(config).exec(namespace, 'p', 'main', ['true'], output, null, null, false, done).catch(failed);
});
assert.equal(status.status, 'Success');
assert.equal(output.read().toString(), 'hello\n');
console.log('all of it held');
process.exit(0);
