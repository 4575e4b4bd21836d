//! Who approved a plan: Ed25519 signatures (RFC 8032) of its digest.
//!
//! Keys are PEM: private ones PKCS#8 as `openssl genpkey -algorithm ed25519` writes them, public ones as `openssl pkey -pubout` does
//! (RFC 8410). What is signed is the digest of a plan file behind a line that no other use of a key begins with.

use std::fmt;

use ed25519_dalek::Signer as _;
use ed25519_dalek::pkcs8::{DecodePrivateKey as _, DecodePublicKey as _};
use serde::{Deserialize, Serialize};

/// Begins what is signed, so that a signature of something else is none of a plan.
const PURPOSE: &str = "rhumb plan signature, version 1";

/// A signature of a plan's digest.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Signature {
    /// The public key that verifies it, 64 hexadecimal digits.
    pub key: String,
    /// The signature, 128 hexadecimal digits.
    pub signature: String,
}

/// A key that signs. It shows itself nowhere.
pub struct SigningKey(ed25519_dalek::SigningKey);

/// A key that verifies.
#[derive(Clone, PartialEq, Eq)]
pub struct VerifyingKey(ed25519_dalek::VerifyingKey);

impl SigningKey {
    /// # Errors
    /// It is no such key; what it is is not told.
    pub fn from_pem(pem: &str) -> Result<Self, String> {
        let key = ed25519_dalek::SigningKey::from_pkcs8_pem(pem.trim());
        key.map(SigningKey).map_err(|_| {
            "it is no private Ed25519 key in PEM (PKCS#8, not encrypted), as `openssl genpkey -algorithm ed25519` makes one".into()
        })
    }

    /// Signs the digest of a plan.
    pub fn sign(&self, digest: &str) -> Signature {
        Signature {
            key: hex(self.0.verifying_key().as_bytes()),
            signature: hex(&self.0.sign(&message(digest)).to_bytes()),
        }
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningKey")
    }
}

impl Signature {
    /// Whether the key that it names made it, of this digest. Whose key that is, it does not say.
    pub fn holds(&self, digest: &str) -> bool {
        let key = unhex(&self.key).and_then(|bytes| <[u8; 32]>::try_from(bytes).ok());
        let key = key.and_then(|bytes| ed25519_dalek::VerifyingKey::from_bytes(&bytes).ok());
        key.is_some_and(|key| VerifyingKey(key).verifies(digest, std::slice::from_ref(self)))
    }
}

impl VerifyingKey {
    /// # Errors
    /// It is no such key.
    pub fn from_pem(pem: &str) -> Result<Self, String> {
        if pem.contains("PRIVATE KEY") {
            return Err("it is a private key: `openssl pkey -pubout` gives the public one".into());
        }
        let key = ed25519_dalek::VerifyingKey::from_public_key_pem(pem.trim());
        key.map(VerifyingKey).map_err(|_| {
            "it is no public Ed25519 key in PEM, as `openssl pkey -pubout` makes one of a private one".into()
        })
    }

    /// The key, 64 hexadecimal digits.
    pub fn id(&self) -> String {
        hex(self.0.as_bytes())
    }

    /// Whether one of some signatures is of this digest by this key.
    pub fn verifies(&self, digest: &str, signatures: &[Signature]) -> bool {
        let own = signatures.iter().filter(|s| s.key == self.id());
        own.filter_map(|s| <[u8; 64]>::try_from(unhex(&s.signature)?).ok()).any(|bytes| {
            let signature = ed25519_dalek::Signature::from_bytes(&bytes);
            self.0.verify_strict(&message(digest), &signature).is_ok()
        })
    }
}

impl fmt::Debug for VerifyingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.id())
    }
}

fn message(digest: &str) -> Vec<u8> {
    format!("{PURPOSE}\n{digest}\n").into_bytes()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u32>> = text.chars().map(|c| c.to_digit(16)).collect();
    let pairs = digits?;
    let byte = |pair: &[u32]| match pair {
        [high, low] => u8::try_from(high * 16 + low).ok(),
        _ => None,
    };
    pairs.chunks(2).map(byte).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The key of RFC 8410, section 10.3, and of section 10.1 its public half.
    const PRIVATE: &str = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n-----END PRIVATE KEY-----\n";
    const PUBLIC: &str = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n-----END PUBLIC KEY-----\n";

    #[test]
    fn keys_of_the_standard_belong_together() {
        let (own, public) = (SigningKey::from_pem(PRIVATE).unwrap(), VerifyingKey::from_pem(PUBLIC).unwrap());
        let signature = own.sign("d1");
        assert_eq!(signature.key, public.id());
        assert_eq!(public.id(), "19bf44096984cdfe8541bac167dc3b96c85086aa30b6b6cb0c5c38ad703166e1");
        assert!(public.verifies("d1", &[signature]));
        assert_eq!(format!("{own:?}"), "SigningKey");
    }

    #[test]
    fn what_is_not_signed_is_not_verified() {
        let (own, public) = (SigningKey::from_pem(PRIVATE).unwrap(), VerifyingKey::from_pem(PUBLIC).unwrap());
        let good = own.sign("d1");
        assert!(!public.verifies("d1", &[]));
        assert!(!public.verifies("d2", std::slice::from_ref(&good)));
        let changed = |f: &dyn Fn(&mut Signature)| {
            let mut other = good.clone();
            f(&mut other);
            other
        };
        let last = |s: &mut String| {
            let digit = if s.pop() == Some('0') { '1' } else { '0' };
            s.push(digit);
        };
        for wrong in [
            changed(&|s| last(&mut s.signature)),
            changed(&|s| last(&mut s.key)),
            changed(&|s| s.signature.truncate(127)),
            changed(&|s| s.signature.clear()),
            changed(&|s| s.signature = "g".repeat(128)),
        ] {
            assert!(!public.verifies("d1", &[wrong]));
        }
        // A bare signature of the digest, made for another purpose.
        let bare = hex(&own.0.sign(b"d1").to_bytes());
        assert!(!public.verifies("d1", &[changed(&|s| s.signature = bare.clone())]));
    }

    #[test]
    fn what_is_no_key_is_refused_without_being_told() {
        for text in ["", "secret", PUBLIC, "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"] {
            let why = SigningKey::from_pem(text).unwrap_err();
            assert!(why.contains("openssl genpkey") && !why.contains("AAAA"), "{why}");
        }
        assert!(VerifyingKey::from_pem(PRIVATE).unwrap_err().contains("private key"));
        assert!(VerifyingKey::from_pem("x").is_err());
    }
}
