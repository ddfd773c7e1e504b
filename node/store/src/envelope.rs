//! The wrapping of every stored value: format version, key id, then a payload that is checksummed or encrypted.
//!
//! ```text
//! version (1 byte) | key id (4 bytes LE, 0 = plaintext) | payload
//! plaintext payload:  crc32 of key and body (4 bytes LE) | body
//! encrypted payload:  nonce (12 bytes) | AES-256-GCM of the body | tag (16 bytes); bound to version, key id and key
//! body:               splice (4 bytes LE) | value bytes
//! ```
//!
//! The wrapping is put on above the backend, so it holds for every backend. Nonces are random: with 2^32 values under
//! one key, the odds of a repeated nonce stay below 2^-32, so a key is good for four billion writes.

use crate::entry::{Key, Value};
use bytes::{BufMut, Bytes, BytesMut};
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::rand::{SecureRandom, SystemRandom};
use std::collections::BTreeMap;

/// The version written by this build.
const VERSION: u8 = 1;
/// The key id that means plaintext.
const PLAINTEXT: u32 = 0;
/// Version and key id.
const HEAD_BYTES: usize = 5;
/// The checksum of a plaintext payload.
const CHECKSUM_BYTES: usize = 4;
/// The splice offset before the value.
const SPLICE_BYTES: usize = 4;

/// A key for values on disk. `id` is stored with every value and must never be used for another secret, nor be 0.
#[derive(Clone)]
pub struct EnvelopeKey {
    /// The key's number, from 1.
    pub id: u32,
    /// The AES-256 key.
    pub secret: [u8; 32],
}

/// Seals values with the first key it was given, or as plaintext when it has none; opens values of every known key.
pub struct Envelope {
    keys: BTreeMap<u32, LessSafeKey>,
    sealing: u32,
    random: SystemRandom,
}

/// What opening an envelope gave.
#[derive(Debug, PartialEq, Eq)]
pub enum Unsealed {
    /// The value.
    Value(Value),
    /// The bytes are damaged; the text says how.
    Corrupt(&'static str),
    /// The value needs a key that was not given.
    KeyMissing(u32),
    /// The value was written by a later version of this program.
    Newer(u8),
}

impl Unsealed {
    /// Why there is no value, for reports.
    pub(crate) fn reason(&self) -> &'static str {
        match self {
            Unsealed::Value(_) => "it is readable",
            Unsealed::Corrupt(reason) => reason,
            Unsealed::KeyMissing(_) => "it is encrypted with a key that was not given",
            Unsealed::Newer(_) => "it was written by a later version",
        }
    }
}

impl Envelope {
    /// An envelope that seals with the first of `keys`.
    ///
    /// # Errors
    /// When a key id is 0 or comes twice.
    pub fn new(keys: &[EnvelopeKey]) -> Result<Envelope, String> {
        let mut known = BTreeMap::new();
        for key in keys {
            if key.id == PLAINTEXT {
                return Err("key id 0 means plaintext; number keys from 1".to_owned());
            }
            let unbound =
                UnboundKey::new(&AES_256_GCM, &key.secret).expect("an AES-256 key has 32 bytes, by its type here");
            if known.insert(key.id, LessSafeKey::new(unbound)).is_some() {
                return Err(format!("key id {} is given twice", key.id));
            }
        }
        let sealing = keys.first().map_or(PLAINTEXT, |key| key.id);
        Ok(Envelope { keys: known, sealing, random: SystemRandom::new() })
    }

    /// Wraps `value` for the backend.
    ///
    /// # Errors
    /// When the machine gives no random bytes for the nonce.
    pub fn seal(&self, key: &Key, value: &Value) -> Result<Bytes, String> {
        let body_bytes = SPLICE_BYTES + value.bytes.len();
        let mut out = BytesMut::with_capacity(HEAD_BYTES + NONCE_LEN + body_bytes + AES_256_GCM.tag_len());
        out.put_u8(VERSION);
        out.put_u32_le(self.sealing);
        match self.keys.get(&self.sealing) {
            None => {
                out.put_u32_le(checksum(key, value.splice, &value.bytes));
                out.put_u32_le(value.splice);
                out.put_slice(&value.bytes);
            }
            Some(secret) => {
                let mut nonce = [0; NONCE_LEN];
                self.random.fill(&mut nonce).map_err(|_| format!("drawing a nonce for {key}: no random bytes"))?;
                out.put_slice(&nonce);
                let mut body = Vec::with_capacity(body_bytes + AES_256_GCM.tag_len());
                body.put_u32_le(value.splice);
                body.put_slice(&value.bytes);
                secret
                    .seal_in_place_append_tag(
                        Nonce::assume_unique_for_key(nonce),
                        binding(self.sealing, key),
                        &mut body,
                    )
                    .map_err(|_| format!("encrypting {key}: too large for AES-GCM"))?;
                out.put_slice(&body);
            }
        }
        Ok(out.freeze())
    }

    /// Takes the wrapping off.
    pub fn open(&self, key: &Key, sealed: &Bytes) -> Unsealed {
        let Some(&version) = sealed.first() else { return Unsealed::Corrupt("it is empty") };
        match version {
            0 => return Unsealed::Corrupt("its format version is 0"),
            VERSION => {}
            newer => return Unsealed::Newer(newer),
        }
        let Some(id) = read_u32(sealed, 1) else { return Unsealed::Corrupt("it ends within its head") };
        let payload = sealed.slice(HEAD_BYTES..);
        if id == PLAINTEXT {
            return open_plain(key, &payload);
        }
        match self.keys.get(&id) {
            None => Unsealed::KeyMissing(id),
            Some(secret) => open_encrypted(secret, id, key, &payload),
        }
    }
}

fn open_plain(key: &Key, payload: &Bytes) -> Unsealed {
    let Some(stored) = read_u32(payload, 0) else { return Unsealed::Corrupt("it ends within its checksum") };
    match value_of(payload.slice(CHECKSUM_BYTES..)) {
        Some(value) if checksum(key, value.splice, &value.bytes) == stored => Unsealed::Value(value),
        Some(_) => Unsealed::Corrupt("its checksum does not match"),
        None => Unsealed::Corrupt("its splice offset is damaged"),
    }
}

fn open_encrypted(secret: &LessSafeKey, id: u32, key: &Key, payload: &Bytes) -> Unsealed {
    let Some((nonce, sealed)) = payload.split_first_chunk::<NONCE_LEN>() else {
        return Unsealed::Corrupt("it ends within its nonce");
    };
    let mut body = sealed.to_vec();
    match secret.open_in_place(Nonce::assume_unique_for_key(*nonce), binding(id, key), &mut body) {
        Err(_) => return Unsealed::Corrupt("its encryption does not verify"),
        Ok(plain) => {
            let plain_bytes = plain.len();
            body.truncate(plain_bytes);
        }
    }
    value_of(Bytes::from(body)).map_or(Unsealed::Corrupt("its splice offset is damaged"), Unsealed::Value)
}

fn value_of(body: Bytes) -> Option<Value> {
    let splice = read_u32(&body, 0)?;
    let bytes = body.slice(SPLICE_BYTES..);
    (splice as usize <= bytes.len()).then_some(Value { bytes, splice })
}

fn read_u32(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().map(|four| u32::from_le_bytes(*four))
}

/// The key takes part, so that a value that ended up under another key is noticed.
fn checksum(key: &Key, splice: u32, bytes: &[u8]) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    crc.update(key.as_bytes());
    crc.update(&splice.to_le_bytes());
    crc.update(bytes);
    crc.finalize()
}

fn binding(id: u32, key: &Key) -> Aad<Vec<u8>> {
    let mut bound = Vec::with_capacity(HEAD_BYTES + key.len());
    bound.put_u8(VERSION);
    bound.put_u32_le(id);
    bound.put_slice(key.as_bytes());
    Aad::from(bound)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(id: u32) -> EnvelopeKey {
        EnvelopeKey { id, secret: [id as u8; 32] }
    }

    fn value() -> Value {
        Value { bytes: Bytes::from_static(b"{\"a\":\"secret\"}"), splice: 5 }
    }

    #[test]
    fn a_value_comes_back_plain_and_encrypted() {
        for keys in [vec![], vec![key(1)], vec![key(7), key(1)]] {
            let envelope = Envelope::new(&keys).unwrap();
            let sealed = envelope.seal(&"/a".into(), &value()).unwrap();
            assert_eq!(envelope.open(&"/a".into(), &sealed), Unsealed::Value(value()));
            let visible = sealed.windows(6).any(|w| w == b"secret");
            assert_eq!(visible, keys.is_empty());
        }
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_noticed() {
        for keys in [vec![], vec![key(1)]] {
            let envelope = Envelope::new(&keys).unwrap();
            let sealed = envelope.seal(&"/a".into(), &value()).unwrap();
            for bit in 0..sealed.len() * 8 {
                let mut damaged = sealed.to_vec();
                damaged[bit / 8] ^= 1 << (bit % 8);
                let opened = envelope.open(&"/a".into(), &damaged.into());
                assert!(!matches!(opened, Unsealed::Value(_)), "bit {bit}");
            }
            for end in 0..sealed.len() {
                let opened = envelope.open(&"/a".into(), &sealed.slice(..end));
                assert!(!matches!(opened, Unsealed::Value(_)), "cut at {end}");
            }
            assert!(matches!(envelope.open(&"/b".into(), &sealed), Unsealed::Corrupt(_)), "moved to another key");
        }
    }

    #[test]
    fn old_keys_open_and_the_first_key_seals() {
        let old = Envelope::new(&[key(1)]).unwrap().seal(&"/a".into(), &value()).unwrap();
        let rotated = Envelope::new(&[key(2), key(1)]).unwrap();
        assert_eq!(rotated.open(&"/a".into(), &old), Unsealed::Value(value()));
        let new = rotated.seal(&"/a".into(), &value()).unwrap();
        assert_eq!(Envelope::new(&[key(1)]).unwrap().open(&"/a".into(), &new), Unsealed::KeyMissing(2));
        assert!(Envelope::new(&[key(0)]).is_err());
        assert!(Envelope::new(&[key(3), key(3)]).is_err());
    }
}
