//! A key of the curve P-256, in either of the PEM forms that tools write.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use rustls_pki_types::{PrivateKeyDer, pem::PemObject};
use sha2::{Digest, Sha256};

/// What comes before the point in the SubjectPublicKeyInfo of a P-256 key (RFC 5480).
const SPKI_PREFIX: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a,
    0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];

/// Reads a private key from PEM: `PRIVATE KEY` (PKCS#8) or `EC PRIVATE KEY` (SEC 1).
pub(super) fn read(pem: &str) -> Result<EcdsaKeyPair, String> {
    let key = PrivateKeyDer::from_pem_slice(pem.as_bytes()).map_err(|e| e.to_string())?;
    let algorithm = &ECDSA_P256_SHA256_FIXED_SIGNING;
    let random = SystemRandom::new();
    let pair = match &key {
        PrivateKeyDer::Pkcs8(der) => {
            EcdsaKeyPair::from_pkcs8(algorithm, der.secret_pkcs8_der(), &random)
        }
        PrivateKeyDer::Sec1(der) => {
            let (private, public) =
                sec1_parts(der.secret_sec1_der()).ok_or("no SEC 1 key with its public half")?;
            EcdsaKeyPair::from_private_key_and_public_key(algorithm, private, public, &random)
        }
        _ => return Err("not an elliptic curve key".to_owned()),
    };
    pair.map_err(|e| format!("not a P-256 key ({e})"))
}

/// The name of a key in tokens' headers: the hash of its public half, as upstream names it.
pub(super) fn id(key: &EcdsaKeyPair) -> String {
    let mut hash = Sha256::new();
    hash.update(SPKI_PREFIX);
    hash.update(key.public_key().as_ref());
    URL_SAFE_NO_PAD.encode(hash.finalize())
}

/// The two halves in an `ECPrivateKey` (RFC 5915):
/// `SEQUENCE { INTEGER 1, OCTET STRING private, [0] curve, [1] BIT STRING public }`.
fn sec1_parts(der: &[u8]) -> Option<(&[u8], &[u8])> {
    let (0x30, mut inside, _) = element(der)? else {
        return None;
    };
    let (mut private, mut public) = (None, None);
    while !inside.is_empty() {
        let (tag, content, rest) = element(inside)?;
        match tag {
            0x04 => private = Some(content),
            // The bit string's first octet counts unused bits: none.
            0xa1 => public = element(content).and_then(|(_, bits, _)| bits.get(1..)),
            _ => {}
        }
        inside = rest;
    }
    private.zip(public)
}

/// The first element of DER: tag, content, and what follows it.
fn element(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (tag, rest) = der.split_first()?;
    let (first, mut rest) = rest.split_first()?;
    let length = match *first {
        short @ 0..0x80 => usize::from(short),
        long => {
            // Keys are short: two octets of length are plenty.
            let octets = usize::from(long & 0x7f);
            let length = rest.get(..octets).filter(|_| octets <= 2)?;
            rest = &rest[octets..];
            length
                .iter()
                .fold(0, |sum, octet| sum << 8 | usize::from(*octet))
        }
    };
    Some((*tag, rest.get(..length)?, rest.get(length..)?))
}

#[cfg(test)]
mod tests {
    use base64::engine::general_purpose::STANDARD;

    use super::*;

    #[test]
    fn both_forms_are_one_key() {
        let pkcs8 = rcgen::KeyPair::generate().expect("a key");
        // PKCS#8 is `SEQUENCE { INTEGER, SEQUENCE algorithm, OCTET STRING sec1 }`.
        let der = pkcs8.serialize_der();
        let (_, inside, _) = element(&der).expect("a sequence");
        let (_, _, inside) = element(inside).expect("a version");
        let (_, _, inside) = element(inside).expect("an algorithm");
        let (_, sec1, _) = element(inside).expect("a key");
        let sec1 = STANDARD.encode(sec1);
        let sec1 =
            format!("-----BEGIN EC PRIVATE KEY-----\n{sec1}\n-----END EC PRIVATE KEY-----\n");
        let one = read(&pkcs8.serialize_pem()).expect("PKCS#8 is read");
        let other = read(&sec1).expect("SEC 1 is read");
        assert_eq!(id(&one), id(&other));
        assert!(read("no key").is_err());
        assert_eq!(element(&[0x30, 0x82, 0xff]), None, "cut short");
    }
}
