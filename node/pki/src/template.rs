//! What a certificate says, and its encoding and signing.
//!
//! rcgen's subject holds one value per attribute, but Kubernetes reads every organization of a subject as a group, and a
//! signing request may carry any key. So the certificate is written here, with the DER writer that rcgen uses itself.

use crate::key::{Key, random};
use anyhow::{Context, Result};
use std::net::IpAddr;
use std::time::{Duration, SystemTime};
use yasna::models::{GeneralizedTime, ObjectIdentifier, UTCTime};
use yasna::{DERWriter, DERWriterSeq, Tag, construct_der};

const COMMON_NAME: &[u64] = &[2, 5, 4, 3];
const ORGANIZATION: &[u64] = &[2, 5, 4, 10];
const SUBJECT_KEY_ID: &[u64] = &[2, 5, 29, 14];
const KEY_USAGE: &[u64] = &[2, 5, 29, 15];
const SUBJECT_ALT_NAME: &[u64] = &[2, 5, 29, 17];
const BASIC_CONSTRAINTS: &[u64] = &[2, 5, 29, 19];
const AUTHORITY_KEY_ID: &[u64] = &[2, 5, 29, 35];
const EXTENDED_KEY_USAGE: &[u64] = &[2, 5, 29, 37];
const ECDSA_WITH_SHA256: &[u64] = &[1, 2, 840, 10045, 4, 3, 2];

/// Bytes of a serial number. RFC 5280 allows 20; 16 random ones never meet twice.
const SERIAL_BYTES: usize = 16;
/// Bytes of a key identifier: a SHA-256 cut to 160 bits (RFC 7093 method 1).
const KEY_ID_BYTES: usize = 20;
/// Seconds from 1970 to 2050, where UTCTime ends (RFC 5280 section 4.1.2.5).
const YEAR_2050: Duration = Duration::from_secs(2_524_608_000);

/// A further name of the subject.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum San {
    /// A DNS name.
    Dns(String),
    /// An address.
    Ip(IpAddr),
    /// A mail address.
    Email(String),
    /// A URI.
    Uri(String),
}

/// Bits of the key usage extension; bit n of RFC 5280's list is `1 << n`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KeyUsage(pub u16);

impl KeyUsage {
    /// digitalSignature
    pub const SIGNATURE: Self = Self(1);
    /// keyEncipherment
    pub const ENCIPHERMENT: Self = Self(1 << 2);
    /// keyCertSign
    pub const CERT_SIGN: Self = Self(1 << 5);

    /// Both sets together.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// Object identifiers of extended key usages.
pub mod purpose {
    /// TLS server.
    pub const SERVER: &[u64] = &[1, 3, 6, 1, 5, 5, 7, 3, 1];
    /// TLS client.
    pub const CLIENT: &[u64] = &[1, 3, 6, 1, 5, 5, 7, 3, 2];
}

/// What a certificate says, apart from its issuer.
#[derive(Clone, Debug)]
pub struct Template {
    /// The subject as DER Name; see [`subject`].
    pub subject: Vec<u8>,
    /// The public key as DER SubjectPublicKeyInfo.
    pub public_key: Vec<u8>,
    /// Further names.
    pub sans: Vec<San>,
    /// Key usage; left out when empty.
    pub usage: KeyUsage,
    /// Extended key usages by object identifier; left out when empty.
    pub purposes: Vec<&'static [u64]>,
    /// Whether the subject may sign certificates.
    pub authority: bool,
    /// First instant of validity.
    pub not_before: SystemTime,
    /// Last instant of validity.
    pub not_after: SystemTime,
}

/// A DER Name: organizations first, as Go writes it, then the common name.
#[must_use]
pub fn subject(common_name: &str, organizations: &[&str]) -> Vec<u8> {
    let attribute = |writer: DERWriter<'_>, oid: &[u64], value: &str| {
        writer.write_set(|set| {
            set.next().write_sequence(|pair| {
                pair.next().write_oid(&ObjectIdentifier::from_slice(oid));
                pair.next().write_utf8_string(value);
            });
        });
    };
    construct_der(|writer| {
        writer.write_sequence(|names| {
            for organization in organizations {
                attribute(names.next(), ORGANIZATION, organization);
            }
            if !common_name.is_empty() {
                attribute(names.next(), COMMON_NAME, common_name);
            }
        });
    })
}

/// The identifier of a public key, by which certificates name their issuer's key.
#[must_use]
pub fn key_id(public_key: &[u8]) -> Vec<u8> {
    ring::digest::digest(&ring::digest::SHA256, public_key).as_ref()[..KEY_ID_BYTES].to_vec()
}

fn extension(list: &mut DERWriterSeq<'_>, oid: &[u64], critical: bool, value: Vec<u8>) {
    list.next().write_sequence(|parts| {
        parts.next().write_oid(&ObjectIdentifier::from_slice(oid));
        if critical {
            parts.next().write_bool(true);
        }
        parts.next().write_bytes(&value);
    });
}

/// A BIT STRING of named bits without trailing zeros, as DER wants it.
fn bits(usage: KeyUsage) -> Vec<u8> {
    let count = 16 - usage.0.leading_zeros() as usize;
    let mut bytes = vec![0u8; count.div_ceil(8)];
    for bit in (0..count).filter(|bit| usage.0 & (1 << bit) != 0) {
        bytes[bit / 8] |= 0x80 >> (bit % 8);
    }
    construct_der(|writer| writer.write_bitvec_bytes(&bytes, count))
}

fn names(sans: &[San]) -> Vec<u8> {
    let tagged = |writer: DERWriter<'_>, number: u64, bytes: &[u8]| {
        writer.write_tagged_implicit(Tag::context(number), |writer| writer.write_bytes(bytes));
    };
    construct_der(|writer| {
        writer.write_sequence(|list| {
            for san in sans {
                match san {
                    San::Email(text) => tagged(list.next(), 1, text.as_bytes()),
                    San::Dns(text) => tagged(list.next(), 2, text.as_bytes()),
                    San::Uri(text) => tagged(list.next(), 6, text.as_bytes()),
                    San::Ip(IpAddr::V4(address)) => tagged(list.next(), 7, &address.octets()),
                    San::Ip(IpAddr::V6(address)) => tagged(list.next(), 7, &address.octets()),
                }
            }
        });
    })
}

fn time(writer: DERWriter<'_>, at: SystemTime) {
    let utc = at.duration_since(SystemTime::UNIX_EPOCH).is_ok_and(|since| since < YEAR_2050);
    let seconds = at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
    let whole = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
    if utc {
        writer.write_utctime(&UTCTime::from_datetime(whole.into()));
    } else {
        writer.write_generalized_time(&GeneralizedTime::from_datetime(whole.into()));
    }
}

impl Template {
    fn extensions(&self, list: &mut DERWriterSeq<'_>, issuer_key: &[u8]) {
        if self.usage != KeyUsage::default() {
            extension(list, KEY_USAGE, true, bits(self.usage));
        }
        if !self.purposes.is_empty() {
            let value = construct_der(|writer| {
                writer.write_sequence(|oids| {
                    for oid in &self.purposes {
                        oids.next().write_oid(&ObjectIdentifier::from_slice(oid));
                    }
                });
            });
            extension(list, EXTENDED_KEY_USAGE, false, value);
        }
        let constraints = construct_der(|writer| {
            writer.write_sequence(|parts| {
                if self.authority {
                    parts.next().write_bool(true);
                }
            });
        });
        extension(list, BASIC_CONSTRAINTS, true, constraints);
        if self.authority {
            let id = construct_der(|writer| writer.write_bytes(&key_id(&self.public_key)));
            extension(list, SUBJECT_KEY_ID, false, id);
        }
        let id = construct_der(|writer| {
            writer.write_sequence(|parts| {
                parts.next().write_tagged_implicit(Tag::context(0), |writer| writer.write_bytes(&key_id(issuer_key)));
            });
        });
        extension(list, AUTHORITY_KEY_ID, false, id);
        if !self.sans.is_empty() {
            // An empty Name is an empty SEQUENCE, two bytes; then the names are all there is and must be understood.
            extension(list, SUBJECT_ALT_NAME, self.subject.len() == 2, names(&self.sans));
        }
    }

    fn body(&self, issuer: &[u8], issuer_key: &[u8], serial: &[u8]) -> Vec<u8> {
        construct_der(|writer| {
            writer.write_sequence(|parts| {
                parts.next().write_tagged(Tag::context(0), |writer| writer.write_u8(2));
                parts.next().write_bigint_bytes(serial, true);
                parts.next().write_sequence(|algorithm| {
                    algorithm.next().write_oid(&ObjectIdentifier::from_slice(ECDSA_WITH_SHA256));
                });
                parts.next().write_der(issuer);
                parts.next().write_sequence(|validity| {
                    time(validity.next(), self.not_before);
                    time(validity.next(), self.not_after);
                });
                parts.next().write_der(&self.subject);
                parts.next().write_der(&self.public_key);
                parts.next().write_tagged(Tag::context(3), |writer| {
                    writer.write_sequence(|list| self.extensions(list, issuer_key));
                });
            });
        })
    }

    /// The certificate as DER, signed by `key` in the name of `issuer` (a DER Name), with a random serial number.
    ///
    /// # Errors
    /// When the random source fails.
    pub fn sign(&self, issuer: &[u8], key: &Key) -> Result<Vec<u8>> {
        let mut serial = random::<SERIAL_BYTES>().context("choosing a serial number")?;
        // Positive, and without a leading zero byte, so that its length never varies.
        serial[0] = serial[0] & 0x7f | 0x40;
        let body = self.body(issuer, &key.public_der(), &serial);
        let signature = key.sign_der(&body)?;
        Ok(construct_der(|writer| {
            writer.write_sequence(|parts| {
                parts.next().write_der(&body);
                parts.next().write_sequence(|algorithm| {
                    algorithm.next().write_oid(&ObjectIdentifier::from_slice(ECDSA_WITH_SHA256));
                });
                parts.next().write_bitvec_bytes(&signature, signature.len() * 8);
            });
        }))
    }
}
