//! SCRAM-SHA-256: a client shows that it knows a password without saying it.
//!
//! RFC 5802 and RFC 7677, without channel binding. The server remembers nothing between two steps:
//! what it needs again, the connection keeps. A step costs a few hashes, the slow one is the
//! client's, so it is taken on the worker's own thread.

use std::{fmt, num::NonZeroU32};

use aws_lc_rs::{constant_time, digest, hmac, pbkdf2, rand};
use base64ct::{Base64, Encoding};

/// The name of the method, as the registry of SASL mechanisms has it.
pub(crate) const METHOD: &str = "SCRAM-SHA-256";
/// Iterations of a verifier unless somebody says otherwise.
pub(crate) const ITERATIONS: NonZeroU32 = NonZeroU32::new(10_000).expect("it is not 0");
/// Fewer are not allowed (RFC 7677, section 4).
pub(crate) const ITERATIONS_MIN: NonZeroU32 = NonZeroU32::new(4_096).expect("it is not 0");
/// More would keep a device busy for minutes.
pub(crate) const ITERATIONS_MAX: NonZeroU32 = NonZeroU32::new(10_000_000).expect("it is not 0");

/// Longest message of a client, bytes. A name has at most 65,535, an honest one far less.
const MESSAGE_MAX: usize = 4096;
const SALT_BYTES: usize = 16;
const NONCE_BYTES: usize = 18;

type Hash = [u8; digest::SHA256_OUTPUT_LEN];

/// What is stored of a password. Who reads it can neither log in with it nor read the password.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Verifier {
    iterations: NonZeroU32,
    salt: Vec<u8>,
    stored_key: Hash,
    server_key: Hash,
}

/// What a step leads to.
#[derive(Debug, PartialEq, Eq)]
pub enum Outcome {
    /// There is another step.
    Challenge {
        /// For the client.
        data: Vec<u8>,
        /// For the next step.
        kept: Vec<u8>,
    },
    /// The client has shown who it is.
    Proven {
        /// Its User Name.
        user: String,
        /// For the client.
        data: Vec<u8>,
    },
    /// It has not.
    Refused,
}

impl Verifier {
    /// Hashes a password with a salt of its own.
    pub(crate) fn of(password: &[u8], iterations: NonZeroU32) -> Self {
        let mut salt = [0; SALT_BYTES];
        rand::fill(&mut salt).expect("the system has random numbers");
        Self::with_salt(password, iterations, salt.to_vec())
    }

    fn with_salt(password: &[u8], iterations: NonZeroU32, salt: Vec<u8>) -> Self {
        let salted = salted(password, iterations, &salt);
        let stored_key = sha_256(&mac(&salted, b"Client Key"));
        Self { iterations, salt, stored_key, server_key: mac(&salted, b"Server Key") }
    }

    /// Of a user that does not exist: looks like one, and no proof fits.
    fn decoy(secret: &Hash, name: &str, iterations: NonZeroU32) -> Self {
        let derive = |what: &str| mac(secret, format!("{what} {name}").as_bytes());
        let salt = derive("salt").iter().copied().take(SALT_BYTES).collect();
        Self { iterations, salt, stored_key: derive("stored"), server_key: derive("server") }
    }

    /// What stands in a password file: `SCRAM-SHA-256$<iterations>:<salt>$<StoredKey>:<ServerKey>`,
    /// as PostgreSQL writes it. `None`: something else stands there.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (head, keys) = text.strip_prefix(METHOD)?.strip_prefix('$')?.split_once('$')?;
        let (iterations, salt) = head.split_once(':')?;
        let (stored_key, server_key) = keys.split_once(':')?;
        let iterations: NonZeroU32 = iterations.parse().ok()?;
        let salt = Base64::decode_vec(salt).ok().filter(|salt| !salt.is_empty())?;
        let hash = |text: &str| Hash::try_from(Base64::decode_vec(text).ok()?).ok();
        (ITERATIONS_MIN..=ITERATIONS_MAX).contains(&iterations).then_some(())?;
        Some(Self {
            iterations,
            salt,
            stored_key: hash(stored_key)?,
            server_key: hash(server_key)?,
        })
    }

    pub(crate) fn iterations(&self) -> NonZeroU32 {
        self.iterations
    }

    /// Whether this is the password, said in full. Slow on purpose.
    pub(crate) fn verify(&self, password: &[u8]) -> bool {
        let salted = salted(password, self.iterations, &self.salt);
        is_same(&sha_256(&mac(&salted, b"Client Key")), &self.stored_key)
    }
}

impl fmt::Display for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [salt, stored_key, server_key] =
            [&self.salt[..], &self.stored_key, &self.server_key].map(Base64::encode_string);
        write!(f, "{METHOD}${}:{salt}${stored_key}:{server_key}", self.iterations)
    }
}

/// Who might be there, and what to answer for those who are not.
pub(crate) struct Users<'a> {
    pub(crate) find: &'a dyn Fn(&str) -> Option<&'a Verifier>,
    /// The same over restarts, so that the salt of a user that does not exist stays the same.
    pub(crate) secret: &'a Hash,
    /// Of users that do not exist.
    pub(crate) iterations: NonZeroU32,
}

impl Users<'_> {
    /// The user's, or one that no proof fits: both take the same path.
    fn verifier(&self, name: &str) -> (Verifier, bool) {
        let decoy = Verifier::decoy(self.secret, name, self.iterations);
        match (self.find)(name) {
            Some(verifier) => (verifier.clone(), true),
            None => (decoy, false),
        }
    }
}

/// The next step: `kept` is what the step before asked to keep.
pub(crate) fn step(users: &Users<'_>, message: &[u8], kept: Option<&[u8]>) -> Outcome {
    let message = std::str::from_utf8(message).ok();
    let message = message.filter(|text| text.len() <= MESSAGE_MAX && !text.contains('\0'));
    let outcome = message.and_then(|message| match kept {
        None => first(users, message, &nonce()),
        Some(kept) => last(users, message, std::str::from_utf8(kept).ok()?),
    });
    outcome.unwrap_or(Outcome::Refused)
}

/// client-first-message → server-first-message.
fn first(users: &Users<'_>, message: &str, nonce: &str) -> Option<Outcome> {
    let (binding, rest) = message.split_once(',')?;
    let (authorization, bare) = rest.split_once(',')?;
    // `y`: the client could bind to a channel and believes that the server cannot. It is right.
    if !["n", "y"].contains(&binding) {
        return None;
    }
    let mut attributes = bare.split(',');
    let (user, client_nonce) = (user_in(bare)?, attributes.nth(1)?.strip_prefix("r=")?);
    let is_itself = |name: &str| name.strip_prefix("a=").and_then(unescape) == Some(user.clone());
    if !authorization.is_empty() && !is_itself(authorization) {
        return None;
    }
    if client_nonce.is_empty() || !client_nonce.bytes().all(|byte| byte.is_ascii_graphic()) {
        return None;
    }
    let (verifier, _) = users.verifier(&user);
    let salt = Base64::encode_string(&verifier.salt);
    let answer = format!("r={client_nonce}{nonce},s={salt},i={}", verifier.iterations);
    // No message holds a NUL.
    let kept = format!("{binding},{authorization},\0{bare}\0{answer}");
    Some(Outcome::Challenge { data: answer.into_bytes(), kept: kept.into_bytes() })
}

/// client-final-message → server-final-message.
fn last(users: &Users<'_>, message: &str, kept: &str) -> Option<Outcome> {
    let mut parts = kept.split('\0');
    let (header, bare, answer) = (parts.next()?, parts.next()?, parts.next()?);
    let (without_proof, proof) = message.rsplit_once(",p=")?;
    let mut attributes = without_proof.split(',');
    let binding = Base64::decode_vec(attributes.next()?.strip_prefix("c=")?).ok()?;
    let nonce = attributes.next()?;
    if binding != header.as_bytes() || Some(nonce) != answer.split(',').next() {
        return None;
    }
    let user = user_in(bare)?;
    let (verifier, is_there) = users.verifier(&user);
    let text = format!("{bare},{answer},{without_proof}");
    let signature = mac(&verifier.stored_key, text.as_bytes());
    let proof = Hash::try_from(Base64::decode_vec(proof).ok()?).ok()?;
    let client_key: Vec<u8> = proof.iter().zip(signature).map(|(one, other)| one ^ other).collect();
    if !(is_same(&sha_256(&client_key), &verifier.stored_key) & is_there) {
        return None;
    }
    let signature = Base64::encode_string(&mac(&verifier.server_key, text.as_bytes()));
    Some(Outcome::Proven { user, data: format!("v={signature}").into_bytes() })
}

/// The name at the front of client-first-message-bare. An extension that must be understood stands
/// before it (`m=`), and there is none.
fn user_in(bare: &str) -> Option<String> {
    let name = unescape(bare.split(',').next()?.strip_prefix("n=")?)?;
    let name = stringprep::saslprep(&name).ok()?.into_owned();
    (!name.is_empty()).then_some(name)
}

/// `=2C` is a comma, `=3D` an equals sign, any other `=` a fault.
fn unescape(name: &str) -> Option<String> {
    let mut parts = name.split('=');
    let mut text = parts.next()?.to_owned();
    for part in parts {
        let (character, rest) = if let Some(rest) = part.strip_prefix("2C") {
            (',', rest)
        } else {
            ('=', part.strip_prefix("3D")?)
        };
        text.push(character);
        text.push_str(rest);
    }
    Some(text)
}

/// A password that is not a string in the sense of RFC 4013 counts as it is.
fn salted(password: &[u8], iterations: NonZeroU32, salt: &[u8]) -> Hash {
    let text = std::str::from_utf8(password).ok();
    let prepared = text.and_then(|text| stringprep::saslprep(text).ok());
    let password = prepared.as_deref().map_or(password, str::as_bytes);
    let mut salted = Hash::default();
    pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, iterations, salt, password, &mut salted);
    salted
}

fn nonce() -> String {
    let mut bytes = [0; NONCE_BYTES];
    rand::fill(&mut bytes).expect("the system has random numbers");
    Base64::encode_string(&bytes)
}

fn mac(key: &[u8], text: &[u8]) -> Hash {
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text);
    tag.as_ref().try_into().expect("a tag of SHA-256 has its length")
}

/// A hash of 32 bytes.
pub(crate) fn sha_256(text: &[u8]) -> Hash {
    let hash = digest::digest(&digest::SHA256, text);
    hash.as_ref().try_into().expect("a hash of SHA-256 has its length")
}

/// Takes as long whatever the bytes are.
fn is_same(one: &Hash, other: &Hash) -> bool {
    constant_time::verify_slices_are_equal(one, other).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &Hash = &[7; 32];

    fn with_user<T>(play: impl FnOnce(&Users<'_>) -> T) -> T {
        let salt = Base64::decode_vec("W22ZaJ0SNY7soEsUEjb6gQ==").unwrap();
        let verifier = Verifier::with_salt(b"pencil", ITERATIONS_MIN, salt);
        let find = |name: &str| (name == "user").then_some(&verifier);
        // The verifier outlives the users.
        let users = Users { find: &find, secret: SECRET, iterations: ITERATIONS_MIN };
        play(&users)
    }

    fn data(outcome: &Outcome) -> &str {
        match outcome {
            Outcome::Challenge { data, .. } | Outcome::Proven { data, .. } => {
                std::str::from_utf8(data).unwrap()
            }
            Outcome::Refused => "refused",
        }
    }

    /// RFC 7677, section 3.
    #[test]
    fn the_example_of_the_rfc() {
        with_user(|users| {
            let nonce = "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
            let asked = first(users, "n,,n=user,r=rOprNGfwEbeRWgbNEkqO", nonce).unwrap();
            let challenge = "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
                             s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
            assert_eq!(data(&asked), challenge);
            let Outcome::Challenge { kept, .. } = asked else { panic!() };
            let proof = "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
                         p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";
            let proven = step(users, proof.as_bytes(), Some(&kept));
            assert!(matches!(&proven, Outcome::Proven { user, .. } if user == "user"));
            assert_eq!(data(&proven), "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=");

            for wrong in [
                proof.replace("p=dHz", "p=dHy"),
                proof.replace("c=biws", "c=eSws"),
                proof.replace("r=rOp", "r=sOp"),
                proof.replace(",p=", ",q="),
                proof.replace("dVQ=", "dVQ"),
                String::new(),
            ] {
                assert_eq!(step(users, wrong.as_bytes(), Some(&kept)), Outcome::Refused, "{wrong}");
            }
        });
    }

    #[test]
    fn first_messages() {
        with_user(|users| {
            for right in
                ["n,,n=user,r=x", "y,,n=user,r=x", "n,a=user,n=user,r=x,z=1", "n,,n=us,r=x"]
            {
                assert!(data(&step(users, right.as_bytes(), None)).starts_with("r=x"), "{right}");
            }
            let long = format!("n,,n={},r=x", "u".repeat(MESSAGE_MAX));
            for wrong in [
                "",
                "n",
                "n,,",
                "p=tls-unique,,n=user,r=x",
                "n,,m=1,n=user,r=x",
                "n,a=other,n=user,r=x",
                "n,,n=user",
                "n,,n=user,r=",
                "n,,n=user,r=a b",
                "n,,n=,r=x",
                "n,,n=a=b,r=x",
                "n,,n=a\0,r=x",
                &long,
            ] {
                assert_eq!(step(users, wrong.as_bytes(), None), Outcome::Refused, "{wrong}");
            }
            assert_eq!(step(users, b"n,,n=\xff,r=x", None), Outcome::Refused);
        });
    }

    /// One who is not there has a salt, too, and always the same.
    #[test]
    fn nobody_looks_like_somebody() {
        with_user(|users| {
            let ask = || data(&first(users, "n,,n=nobody,r=x", "y").unwrap()).to_owned();
            assert_eq!(ask(), ask());
            assert!(ask().contains(",s=") && ask().ends_with("==,i=4096"), "{}", ask());
            let Some(Outcome::Challenge { kept, .. }) = first(users, "n,,n=nobody,r=x", "y") else {
                panic!();
            };
            let proof = format!("c=biws,r=xy,p={}", Base64::encode_string(&[0; 32]));
            assert_eq!(step(users, proof.as_bytes(), Some(&kept)), Outcome::Refused);
        });
    }

    #[test]
    fn names_and_passwords_are_prepared() {
        assert_eq!(unescape("a=2Cb=3Dc").as_deref(), Some("a,b=c"));
        assert_eq!(unescape("a=2c"), None);
        assert_eq!(user_in("n=I\u{AD}X,r=x").as_deref(), Some("IX"));
        assert!(Verifier::of("I\u{AD}X".as_bytes(), ITERATIONS_MIN).verify(b"IX"));
    }

    #[test]
    fn stored_and_read() {
        let verifier = Verifier::of(b"pencil", ITERATIONS);
        let text = verifier.to_string();
        assert!(text.starts_with("SCRAM-SHA-256$10000:"), "{text}");
        let read = Verifier::parse(&text).unwrap();
        assert!(read == verifier && read.verify(b"pencil") && !read.verify(b"Pencil"));
        for wrong in [
            text.replace("$10000:", "$4095:"),
            text.replace("$10000:", "$x:"),
            text.replace("SHA-256", "SHA-1"),
            text[..text.len() - 4].to_owned(),
        ] {
            assert!(Verifier::parse(&wrong).is_none(), "{wrong}");
        }
    }
}
