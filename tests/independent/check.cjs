// Does @sigstore/verify, which npm asks before it installs a package, agree with Akashi's proof?
//
//     node check.cjs VKEY entry.tlog-proof entry.json [prev.json]
//
// verifyCheckpoint checks the log's signature, verifyMerkleInclusion the inclusion. Reading the proof's text form and
// the key is all that is written here.
const { createHash } = require('node:crypto');
const { readFileSync } = require('node:fs');
const { join } = require('node:path');

const library = join(process.env.SIGSTORE, '@sigstore');
const { verifyCheckpoint } = require(join(library, 'verify/dist/tlog/checkpoint.js'));
const { verifyMerkleInclusion } = require(join(library, 'verify/dist/tlog/merkle.js'));
const { crypto } = require(join(library, 'core'));

const SPKI = Buffer.from('302a300506032b6570032100', 'hex'); // in front of 32 bytes: an Ed25519 public key, RFC 8410

function check(vkey, proofFile, entryFile, beforeFile) {
  const [name, id] = vkey.split('+', 2);
  const key = Buffer.from(vkey.slice(name.length + id.length + 2), 'base64');
  const log = {
    logID: Buffer.from(id, 'hex'),
    baseURL: name,
    publicKey: crypto.createPublicKey(Buffer.concat([SPKI, key.subarray(1)])),
  };

  const proof = readFileSync(proofFile, 'utf8');
  const end = proof.indexOf('\n\n');
  const [form, ...lines] = proof.slice(0, end).split('\n');
  if (lines[0].startsWith('extra ')) lines.shift();
  if (end < 0 || form !== 'c2sp.org/tlog-proof@v1') throw new Error('not a tlog-proof');
  const logIndex = lines.shift().replace('index ', '');
  const hashes = lines.map((line) => Buffer.from(line, 'base64'));
  const entry = readFileSync(entryFile);

  const checkpoint = verifyCheckpoint({ inclusionProof: { checkpoint: { envelope: proof.slice(end + 2) } } }, [log]);
  if (checkpoint.origin !== name) throw new Error(`a checkpoint of ${checkpoint.origin}`);
  verifyMerkleInclusion({ canonicalizedBody: entry, inclusionProof: { logIndex, hashes } }, checkpoint);

  const said = JSON.parse(entry.toString());
  const before =
    logIndex === '0'
      ? '0'.repeat(64)
      : createHash('sha256').update(Buffer.from([0])).update(readFileSync(beforeFile)).digest('hex');
  if (String(said.index) !== logIndex || said.prev !== before) throw new Error('chain: it does not name that entry before it');
  return `OK entry ${logIndex} of ${checkpoint.logSize}`;
}

try {
  console.log(check(...process.argv.slice(2)));
} catch (error) {
  console.error(`FAIL: ${error.message}`);
  process.exit(1);
}
