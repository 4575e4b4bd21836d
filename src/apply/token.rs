//! Names of intents.

use rhumb_api::{ResourceAddr, Token};
use sha2::{Digest, Sha256};

use super::Verb;

/// The token of an intent: the first 128 bits of a SHA-256 over what tells it from every other one.
///
/// Within a lineage the serial alone would do, since each record lets it grow. The plan's digest is there for states that were put
/// back from a copy: their serials come a second time.
pub fn token(lineage: &str, serial: u64, plan: &str, verb: Verb, address: &ResourceAddr) -> Token {
    let mut hash = Sha256::new();
    for part in [lineage, &serial.to_string(), plan, verb.as_str(), address.as_str()] {
        hash.update(part.as_bytes());
        hash.update([0]);
    }
    let digits: String = hash.finalize().iter().take(16).map(|b| format!("{b:02x}")).collect();
    Token::parse(digits).unwrap_or_else(|_| unreachable!("32 hexadecimal digits"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_differ_in_every_part() {
        let a = ResourceAddr::parse("a/b").unwrap();
        let first = token("l", 1, "p", Verb::Create, &a);
        assert_eq!(first, token("l", 1, "p", Verb::Create, &a));
        assert_eq!(first.as_str().len(), 32);
        for other in [
            token("m", 1, "p", Verb::Create, &a),
            token("l", 11, "p", Verb::Create, &a),
            token("l", 1, "1p", Verb::Create, &a),
            token("l", 1, "p", Verb::Update, &a),
            token("l", 1, "p", Verb::Create, &a.child("c")),
        ] {
            assert_ne!(first, other);
        }
    }
}
