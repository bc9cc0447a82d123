//! Session Present says what is stored.

use super::{Fault, Verdict, fault::Kind, prefix::Survivors};
use crate::history::{Cut, History, What};

/// Whether the broker has the session.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Stored {
    Yes,
    No,
    Perhaps,
}

/// One pass over the connections of a client.
struct Sessions {
    stored: Stored,
    /// What was stored when CONNECT went out, Clean Start, whether the session is to stay.
    connecting: Option<(Stored, bool, bool)>,
    /// When a session was made that should still be there.
    made: u64,
    /// When a DISCONNECT went out that ends it.
    leaving: Option<u64>,
}

/// Holds every CONNACK against what must be stored, and every DISCONNECT against what the client
/// did.
pub(super) fn judge(history: &History, cuts: &[Cut], survivors: &Survivors, verdict: &mut Verdict) {
    let mut sessions = Sessions { stored: Stored::No, connecting: None, made: 0, leaving: None };
    let mut fault = |kind, at: u64, detail: String| {
        let whose = history.client_id.clone();
        verdict.faults.push(Fault { kind, whose, serial: None, at, detail });
    };
    let mut before = 0;
    for (at, what) in &history.events {
        if survivors.is_after_a_cut(before, *at) && sessions.stored == Stored::No {
            // The end of a session may be undone.
            sessions.stored = Stored::Perhaps;
        }
        before = *at;
        match what {
            What::Connected { session_present } => {
                verdict.resumed += u64::from(*session_present);
                if let Err((kind, detail)) = sessions.connected(*at, *session_present, survivors) {
                    fault(kind, *at, detail);
                }
            }
            What::Ended { code: Some(code) } if ![0x8B, 0x8E].contains(code) => {
                fault(Kind::Accused, *at, format!("DISCONNECT 0x{code:02X}"));
            }
            _ => sessions.note(*at, what, cuts),
        }
    }
}

impl Sessions {
    fn note(&mut self, at: u64, what: &What, cuts: &[Cut]) {
        match what {
            What::Connecting { clean, stays } => {
                if self.leaving.take().is_some_and(|left| was_there(left, at, cuts)) {
                    self.stored = Stored::No;
                }
                self.connecting = Some((self.stored, *clean, *stays));
                // Until CONNACK it may have happened or not.
                self.stored = match (self.stored, *clean, *stays) {
                    (Stored::Yes, false, true) => Stored::Yes,
                    (Stored::No, _, false) => Stored::No,
                    _ => Stored::Perhaps,
                };
            }
            What::Leaving { ends_session: true } => {
                self.stored = Stored::Perhaps;
                self.leaving = Some(at);
            }
            _ => {}
        }
    }

    fn connected(
        &mut self,
        at: u64,
        session_present: bool,
        survivors: &Survivors,
    ) -> Result<(), (Kind, String)> {
        let connecting = self.connecting.take();
        let (stored, clean, stays) = connecting.expect("CONNACK comes after CONNECT");
        let made = self.made;
        if !session_present || stored != Stored::Yes {
            self.made = at;
        }
        self.stored = if stays { Stored::Yes } else { Stored::No };
        if session_present && (clean || stored == Stored::No) {
            let detail = format!("Session Present, Clean Start {clean}, {stored:?} stored");
            return Err((Kind::SessionFromNowhere, detail));
        }
        if !session_present && !clean && stored == Stored::Yes && !survivors.may_lack(made, at) {
            return Err((Kind::SessionLost, format!("it was there since {made}")));
        }
        Ok(())
    }
}

/// Whether the broker was there all the time.
fn was_there(from: u64, until: u64, cuts: &[Cut]) -> bool {
    !cuts.iter().any(|cut| cut.from < until && from < cut.until)
}
