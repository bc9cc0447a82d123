//! Faults under load: clients write histories, a checker decides whether the broker kept its word.
//!
//! * [`event`](What): what clients saw and did.
//! * [`check()`]: a pure function over the histories, with tests of its own.
//! * [`Writer`] publishes, [`Reader`] subscribes; both go on whatever happens to the broker.

mod check;
mod event;
mod filter;
mod looker;
mod reader;
pub mod rounds;
mod stage;
mod witness;
mod writer;

pub use check::{Fault, Kind, Verdict, check};
pub use event::{Clock, Cut, History, Look, Loses, Record, Serial, What};
pub use looker::look_again_and_again;
pub use reader::{Reader, Reading};
pub use stage::{Alarm, Phase, Stage};
pub use writer::{Writer, Writing};
