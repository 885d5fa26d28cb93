//! The key of service account tokens: what the API server and the controllers both sign with.
//!
//! A token is a JSON web token (RFC 7519) signed with ES256. The API server signs those that are
//! asked for (`TokenRequest`), and the token controller those that stand in Secrets; the server
//! knows both again, because both have signed with one key:
//!
//! ```text
//!   sa.key ──► kube-apiserver            --service-account-signing-key-file
//!          └─► kube-controller-manager   --service-account-private-key-file
//! ```
//!
//! What a token says is no matter of the key's: its claims are given. Upstream takes RSA keys and
//! other curves as well. Upstream: `pkg/serviceaccount/jwt.go`, `k8s.io/client-go/util/keyutil`.

mod pem;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED, EcdsaKeyPair, KeyPair, UnparsedPublicKey};
use serde_json::{Map, Value, json};

/// A key of the curve P-256, with its private half.
pub struct TokenKey {
    pair: EcdsaKeyPair,
    id: String,
    random: SystemRandom,
}

impl std::fmt::Debug for TokenKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TokenKey")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

impl TokenKey {
    /// The key in a PEM text: `PRIVATE KEY` (PKCS#8) or `EC PRIVATE KEY` (SEC 1).
    ///
    /// # Errors
    /// Why the text holds no such key.
    pub fn from_pem(pem: &str) -> Result<TokenKey, String> {
        let pair = pem::read(pem)?;
        let id = pem::id(&pair);
        Ok(TokenKey {
            pair,
            id,
            random: SystemRandom::new(),
        })
    }

    /// Its name in tokens' headers: the hash of its public half, as upstream names it.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The coordinates of its public half, each of 32 octets.
    pub fn coordinates(&self) -> (&[u8], &[u8]) {
        // An uncompressed point: 0x04, then x, then y.
        self.pair.public_key().as_ref()[1..].split_at(32)
    }

    /// A token of these claims, whatever they say.
    pub fn sign(&self, claims: &Value) -> String {
        let header = json!({"alg": "ES256", "kid": self.id});
        let text = format!("{}.{}", encode(&header), encode(claims));
        let signature = self.pair.sign(&self.random, text.as_bytes());
        let signature = signature.expect("signing fails only without entropy");
        format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature))
    }

    /// The claims of a token that this key has signed; none of any other text.
    pub fn open(&self, token: &str) -> Option<Map<String, Value>> {
        let (text, signature) = token.rsplit_once('.')?;
        let (header, claims) = text.split_once('.')?;
        // The algorithm is ours to know, never the token's to choose.
        decode(header).filter(|header| header["alg"] == "ES256")?;
        let signature = URL_SAFE_NO_PAD.decode(signature).ok()?;
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, self.pair.public_key().as_ref())
            .verify(text.as_bytes(), &signature)
            .ok()?;
        match decode(claims) {
            Some(Value::Object(claims)) => Some(claims),
            _ => None,
        }
    }
}

fn encode(value: &Value) -> String {
    URL_SAFE_NO_PAD.encode(value.to_string())
}

fn decode(text: &str) -> Option<Value> {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(text).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> TokenKey {
        let pair = rcgen::KeyPair::generate().expect("a key");
        TokenKey::from_pem(&pair.serialize_pem()).expect("it is read")
    }

    #[test]
    fn a_key_opens_what_it_has_signed_and_nothing_else() {
        let (ours, other) = (key(), key());
        let token = ours.sign(&json!({"sub": "web"}));
        let claims = ours.open(&token).expect("it is ours");
        assert_eq!(claims["sub"], "web");
        assert_eq!(other.open(&token), None);
        let (_, rest) = token.split_once('.').expect("it has three parts");
        let unsigned = format!("{}.{rest}", encode(&json!({"alg": "none"})));
        assert_eq!(ours.open(&unsigned), None);
    }
}
