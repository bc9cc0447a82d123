//! Who is behind a connection?

mod certificate;
mod credential;
mod password;
mod scram;

use std::sync::{Arc, PoisonError, RwLock};

use flotilla_core::{
    connection::Identification,
    id::ConnectionKey,
    turn::{Exchange, Question},
};
use flotilla_mqtt::ReasonCode;

use crate::{
    config::{Access, IdentitySource},
    crew::{Crew, Sharing},
    net::mailbox::{Inbound, Mailbox},
};

pub(crate) use certificate::identity;
pub(crate) use credential::Kind;
pub(crate) use password::put;
pub use password::{PasswordFileError, Passwords};
pub use scram::Outcome;
pub(crate) use scram::{ITERATIONS, ITERATIONS_MAX, ITERATIONS_MIN};

/// Passwords that wait for a thread; more are refused with "server busy".
const CHECKS_MAX: usize = 4096;

/// What there is to say about a question without slow work.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The answer.
    Known(Identification),
    /// Ask the password file.
    Check {
        /// User Name, which then is the identity.
        username: String,
        /// Password as sent.
        password: Vec<u8>,
    },
    /// Ask the password file for the next step of SCRAM-SHA-256.
    Converse(Box<Exchange>),
}

/// Decides by what the listener asks for. `certificate`: the identity in the certificate that the
/// client has shown.
pub(crate) fn judge(access: Access, certificate: Option<&str>, question: Question) -> Verdict {
    use Verdict::Known;
    let accepted = |identity| Known(Identification::Accepted { identity });
    let refused = |reason| Known(Identification::Refused(reason));
    if let Some(exchange) = question.exchange {
        let is_by_name = matches!(access.certificate, None | Some(IdentitySource::Username));
        return if access.passwords && is_by_name && exchange.method == scram::METHOD {
            Verdict::Converse(exchange)
        } else {
            refused(ReasonCode::BadAuthenticationMethod)
        };
    }
    match access.certificate {
        Some(IdentitySource::Username) if !access.passwords => return accepted(None),
        // The certificate lets the client in; a User Name counts once its password is right.
        Some(IdentitySource::Username) if question.username.is_none() => return accepted(None),
        Some(IdentitySource::Username) | None => {}
        Some(_) => {
            return match certificate {
                Some(identity) => accepted(Some(identity.to_owned())),
                None => refused(ReasonCode::NotAuthorized),
            };
        }
    }
    match (question.username, question.password) {
        (Some(username), Some(password)) if access.passwords => {
            Verdict::Check { username, password }
        }
        (Some(_), None) if access.passwords => refused(ReasonCode::BadUserNameOrPassword),
        // Without a password file a User Name is a claim that nobody checks: no identity.
        _ if access.anonymous => accepted(None),
        _ => refused(ReasonCode::NotAuthorized),
    }
}

/// Checks passwords on threads of its own, as many at a time as it has threads.
#[derive(Debug)]
pub(crate) struct Checker {
    passwords: RwLock<Option<Arc<Passwords>>>,
    crew: Crew<Check>,
}

#[derive(Debug)]
struct Check {
    passwords: Arc<Passwords>,
    username: String,
    password: Vec<u8>,
    connection: ConnectionKey,
    mailbox: Arc<Mailbox>,
}

impl Checker {
    /// Starts `threads` threads.
    ///
    /// # Errors
    /// When the operating system has no thread left.
    pub(crate) fn start(passwords: Option<Passwords>, threads: usize) -> std::io::Result<Self> {
        let crew =
            Crew::start("password", threads, CHECKS_MAX, Sharing::ALONE, |checks: Vec<Check>| {
                for check in checks {
                    let answer = if check.passwords.verify(&check.username, &check.password) {
                        Identification::Accepted { identity: Some(check.username) }
                    } else {
                        Identification::Refused(ReasonCode::BadUserNameOrPassword)
                    };
                    check.mailbox.push(Inbound::Identified(check.connection, answer));
                }
            })?;
        Ok(Self { passwords: RwLock::new(passwords.map(Arc::new)), crew })
    }

    /// Takes a newly read password file for all later checks.
    pub(crate) fn replace(&self, passwords: Option<Passwords>) {
        *self.passwords.write().unwrap_or_else(PoisonError::into_inner) = passwords.map(Arc::new);
    }

    /// Has the password checked; the answer comes to `mailbox`, or at once when there is none to
    /// wait for.
    pub(crate) fn check(
        &self,
        username: String,
        password: Vec<u8>,
        connection: ConnectionKey,
        mailbox: &Arc<Mailbox>,
    ) -> Option<Identification> {
        let passwords = self.passwords.read().unwrap_or_else(PoisonError::into_inner).clone();
        let Some(passwords) = passwords else {
            return Some(Identification::Refused(ReasonCode::NotAuthorized));
        };
        let check =
            Check { passwords, username, password, connection, mailbox: Arc::clone(mailbox) };
        match self.crew.push(check) {
            Ok(()) => None,
            Err(_) => Some(Identification::Refused(ReasonCode::ServerBusy)),
        }
    }

    /// The next step of SCRAM-SHA-256. It needs no thread: the slow hash is the client's.
    pub(crate) fn converse(&self, exchange: &Exchange) -> Identification {
        let passwords = self.passwords.read().unwrap_or_else(PoisonError::into_inner).clone();
        let message = exchange.data.as_deref().unwrap_or_default();
        let outcome = passwords.map(|it| it.converse(message, exchange.kept.as_deref()));
        match outcome {
            Some(Outcome::Challenge { data, kept }) => Identification::Challenged { data, kept },
            Some(Outcome::Proven { user, data }) => {
                Identification::Authenticated { identity: user, data }
            }
            Some(Outcome::Refused) | None => Identification::Refused(ReasonCode::NotAuthorized),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANONYMOUS: Access = Access { certificate: None, passwords: false, anonymous: true };
    const PASSWORDS: Access = Access { certificate: None, passwords: true, anonymous: false };
    const BOTH: Access = Access { certificate: None, passwords: true, anonymous: true };

    fn ask(username: Option<&str>, password: Option<&str>) -> Question {
        Question {
            connection: ConnectionKey::default(),
            client_id: "c".to_owned(),
            username: username.map(str::to_owned),
            password: password.map(|password| password.as_bytes().to_vec()),
            exchange: None,
        }
    }

    fn exchange(method: &str) -> Question {
        let exchange = Exchange { method: method.to_owned(), data: None, kept: None };
        Question { exchange: Some(Box::new(exchange)), ..ask(Some("u"), Some("p")) }
    }

    fn accepted(identity: Option<&str>) -> Verdict {
        Verdict::Known(Identification::Accepted { identity: identity.map(str::to_owned) })
    }

    fn refused(reason: ReasonCode) -> Verdict {
        Verdict::Known(Identification::Refused(reason))
    }

    fn check() -> Verdict {
        Verdict::Check { username: "u".to_owned(), password: b"p".to_vec() }
    }

    #[test]
    fn without_certificate() {
        let nobody = || ask(None, None);
        let user = || ask(Some("u"), Some("p"));
        let no_password = || ask(Some("u"), None);
        assert_eq!(judge(ANONYMOUS, None, nobody()), accepted(None));
        assert_eq!(judge(ANONYMOUS, None, user()), accepted(None));
        assert_eq!(judge(PASSWORDS, None, nobody()), refused(ReasonCode::NotAuthorized));
        assert_eq!(judge(PASSWORDS, None, user()), check());
        for access in [PASSWORDS, BOTH] {
            let answer = judge(access, None, no_password());
            assert_eq!(answer, refused(ReasonCode::BadUserNameOrPassword));
        }
        assert_eq!(
            judge(PASSWORDS, None, ask(None, Some("p"))),
            refused(ReasonCode::NotAuthorized)
        );
        assert_eq!(judge(BOTH, None, nobody()), accepted(None));
        assert_eq!(judge(BOTH, None, user()), check());
    }

    #[test]
    fn by_method() {
        let by_name = Access { certificate: Some(IdentitySource::CommonName), ..PASSWORDS };
        let scram = || exchange("SCRAM-SHA-256");
        assert!(matches!(judge(PASSWORDS, None, scram()), Verdict::Converse(_)));
        let no = refused(ReasonCode::BadAuthenticationMethod);
        assert_eq!(judge(ANONYMOUS, None, scram()), no);
        assert_eq!(judge(by_name, Some("pump"), scram()), no);
        assert_eq!(judge(PASSWORDS, None, exchange("SCRAM-SHA-1")), no);
    }

    #[test]
    fn with_certificate() {
        let by =
            |source, passwords| Access { certificate: Some(source), passwords, anonymous: false };
        let user = || ask(Some("u"), Some("p"));
        for passwords in [false, true] {
            let access = by(IdentitySource::CommonName, passwords);
            assert_eq!(judge(access, Some("pump"), user()), accepted(Some("pump")));
            assert_eq!(judge(access, None, user()), refused(ReasonCode::NotAuthorized));
            let access = by(IdentitySource::Username, passwords);
            assert_eq!(judge(access, None, ask(None, None)), accepted(None));
        }
        assert_eq!(judge(by(IdentitySource::Username, false), None, user()), accepted(None));
        assert_eq!(judge(by(IdentitySource::Username, true), None, user()), check());
    }
}
