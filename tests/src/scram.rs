//! The client's half of SCRAM-SHA-256, written apart from the broker's.

use std::num::NonZeroU32;

use base64ct::{Base64, Encoding};
use ring::{digest, hmac, pbkdf2};

/// One exchange (RFC 5802): the password is never sent.
#[derive(Clone, Debug)]
pub struct Scram {
    bare: String,
    nonce: String,
    password: String,
}

impl Scram {
    /// The Authentication Method.
    pub const METHOD: &'static str = "SCRAM-SHA-256";

    /// For a user; `nonce` is the client's, any letters and digits.
    pub fn new(user: &str, password: &str, nonce: &str) -> Self {
        Self {
            bare: format!("n={user},r={nonce}"),
            nonce: nonce.to_owned(),
            password: password.to_owned(),
        }
    }

    /// client-first-message.
    pub fn first(&self) -> Vec<u8> {
        format!("n,,{}", self.bare).into_bytes()
    }

    /// client-final-message, and the server-final-message that must come back.
    ///
    /// # Panics
    /// When server-first-message is none, or does not go on with the client's nonce.
    pub fn last(&self, challenge: &[u8]) -> (Vec<u8>, Vec<u8>) {
        let challenge = std::str::from_utf8(challenge).expect("it is text");
        let mut parts = challenge.split(',');
        let mut part = |name: &str| {
            let part = parts.next().and_then(|part| part.strip_prefix(name));
            part.unwrap_or_else(|| panic!("'{challenge}' has no {name}"))
        };
        let (nonce, salt, iterations) = (part("r="), part("s="), part("i="));
        let own = nonce.strip_prefix(&self.nonce).expect("it goes on with the client's nonce");
        assert!(own.len() >= 16, "the server adds a nonce of its own: {nonce}");
        let salt = Base64::decode_vec(salt).expect("the salt is base64");
        let iterations: NonZeroU32 = iterations.parse().expect("a number");
        assert!(iterations.get() >= 4096, "RFC 7677, section 4");
        let mut salted = [0; 32];
        let password = self.password.as_bytes();
        pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, iterations, &salt, password, &mut salted);
        let client_key = mac(&salted, "Client Key");
        let stored_key = digest::digest(&digest::SHA256, &client_key);
        let without_proof = format!("c=biws,r={nonce}");
        let text = format!("{},{challenge},{without_proof}", self.bare);
        let signature = mac(stored_key.as_ref(), &text);
        let proof: Vec<u8> = client_key.iter().zip(signature).map(|(a, b)| a ^ b).collect();
        let last = format!("{without_proof},p={}", Base64::encode_string(&proof));
        let signature = mac(&mac(&salted, "Server Key"), &text);
        let verdict = format!("v={}", Base64::encode_string(&signature));
        (last.into_bytes(), verdict.into_bytes())
    }
}

fn mac(key: &[u8], text: &str) -> Vec<u8> {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text.as_bytes()).as_ref().to_vec()
}
