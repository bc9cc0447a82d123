//! The frames of one WebSocket.
//!
//! MQTT does not care where frames begin [MQTT-6.0.0-2], so payloads are handed on as they come:
//! neither a frame nor a message is ever kept.

#[cfg(test)]
mod tests;

use std::{io::Cursor, mem};

use tungstenite::protocol::frame::{
    FrameHeader,
    coding::{CloseCode, Control, Data, OpCode},
};

use super::upgrade::{Answer, Upgrade};

/// Longest payload of a control frame [RFC 6455, 5.5].
const CONTROL_MAX: u64 = 125;
/// Longest header of a frame.
const HEADER_MAX: usize = 14;
/// Pongs that wait for a peer that does not read, in bytes. What is more is not answered
/// [RFC 6455, 5.5.3].
const PONGS_MAX: usize = 4096;

/// What of the stream is between frames.
#[derive(Debug)]
pub struct Framing {
    stage: Stage,
    /// Of a header or a control frame.
    begun: Vec<u8>,
    payload: Option<Payload>,
    /// A message has begun and not ended.
    is_in_message: bool,
    has_said_goodbye: bool,
    /// What the socket has not taken yet.
    pub unsent: Vec<u8>,
}

#[derive(Debug)]
enum Stage {
    Upgrading(Upgrade),
    Open,
    /// Whatever comes is not looked at.
    Deaf,
}

/// What is left of the frame that comes.
#[derive(Clone, Copy, Debug)]
struct Payload {
    left: u64,
    /// For its next byte.
    mask: [u8; 4],
    control: Option<Control>,
}

/// What came of what was heard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard {
    /// It goes on.
    Well,
    /// The peer has ended it properly.
    End,
    /// The peer broke a rule; it has been told.
    Wrong(String),
}

/// Why a WebSocket ends.
struct Fault {
    code: CloseCode,
    reason: String,
}

impl Framing {
    /// Waits for the request.
    pub fn new(upgrade: Upgrade) -> Self {
        Self {
            stage: Stage::Upgrading(upgrade),
            begun: Vec::new(),
            payload: None,
            is_in_message: false,
            has_said_goodbye: false,
            unsent: Vec::new(),
        }
    }

    /// Whether the request was answered, and frames go both ways.
    pub fn is_open(&self) -> bool {
        matches!(self.stage, Stage::Open)
    }

    /// Adds what the peer said to `said`.
    pub fn unframe(&mut self, bytes: &[u8], said: &mut Vec<u8>) -> Heard {
        match &mut self.stage {
            Stage::Deaf => Heard::Well,
            Stage::Open => self.listen(bytes, said),
            Stage::Upgrading(upgrade) => match upgrade.take(bytes) {
                Answer::Wait => Heard::Well,
                Answer::Accepted { response, rest } => {
                    self.unsent.extend_from_slice(&response);
                    self.stage = Stage::Open;
                    self.listen(&rest, said)
                }
                Answer::Refused { response, reason } => {
                    self.unsent.extend_from_slice(&response);
                    self.has_said_goodbye = true;
                    self.stage = Stage::Deaf;
                    Heard::Wrong(reason)
                }
            },
        }
    }

    fn listen(&mut self, bytes: &[u8], said: &mut Vec<u8>) -> Heard {
        match self.walk(bytes, said) {
            Ok(false) => Heard::Well,
            Ok(true) => {
                self.stage = Stage::Deaf;
                Heard::End
            }
            Err(Fault { code, reason }) => {
                self.close(code, &reason);
                self.stage = Stage::Deaf;
                Heard::Wrong(reason)
            }
        }
    }

    /// Goes through frames; says whether the peer has closed.
    fn walk(&mut self, mut bytes: &[u8], said: &mut Vec<u8>) -> Result<bool, Fault> {
        loop {
            let Some(payload) = &mut self.payload else {
                if bytes.is_empty() || !self.begin(&mut bytes)? {
                    return Ok(false);
                }
                continue;
            };
            let length = usize::try_from(payload.left).unwrap_or(usize::MAX).min(bytes.len());
            let (masked, rest) = bytes.split_at(length);
            bytes = rest;
            payload.left -= length as u64;
            let into = if payload.control.is_some() { &mut self.begun } else { &mut *said };
            unmask(masked, &mut payload.mask, into);
            if payload.left > 0 {
                return Ok(false);
            }
            if let Some(Payload { control: Some(control), .. }) = self.payload.take()
                && self.obey(control)?
            {
                return Ok(true);
            }
        }
    }

    /// Reads a header; says whether it is whole.
    fn begin(&mut self, bytes: &mut &[u8]) -> Result<bool, Fault> {
        let known = self.begun.len();
        let some = bytes.get(..HEADER_MAX).unwrap_or(bytes);
        self.begun.extend_from_slice(some.get(..HEADER_MAX - known).unwrap_or(some));
        let mut cursor = Cursor::new(&self.begun);
        let parsed = FrameHeader::parse(&mut cursor);
        let parsed = parsed.map_err(|error| wrong(format!("a frame is not one: {error}")))?;
        let length = usize::try_from(cursor.position()).unwrap_or(known);
        let Some((header, left)) = parsed else {
            *bytes = &[];
            return Ok(false);
        };
        self.begun = Vec::new();
        *bytes = bytes.get(length.saturating_sub(known)..).unwrap_or_default();
        if header.rsv1 || header.rsv2 || header.rsv3 {
            return Err(wrong("a frame uses an extension that was not agreed upon"));
        }
        let mask = header.mask.ok_or_else(|| wrong("a frame is not masked"))?;
        let control = match header.opcode {
            OpCode::Data(Data::Binary) if !self.is_in_message => None,
            OpCode::Data(Data::Continue) if self.is_in_message => None,
            OpCode::Data(Data::Text) => {
                // [MQTT-6.0.0-1]
                let reason = "a frame is text; MQTT needs binary frames".to_owned();
                return Err(Fault { code: CloseCode::Unsupported, reason });
            }
            OpCode::Data(_) => return Err(wrong("a message begins or goes on out of place")),
            OpCode::Control(control) if header.is_final && left <= CONTROL_MAX => Some(control),
            OpCode::Control(_) => return Err(wrong("a control frame is too long or in parts")),
        };
        if control.is_none() {
            self.is_in_message = !header.is_final;
        }
        self.payload = Some(Payload { left, mask, control });
        Ok(true)
    }

    /// Does what a control frame asks for; says whether it is the end.
    fn obey(&mut self, control: Control) -> Result<bool, Fault> {
        let said = mem::take(&mut self.begun);
        match control {
            Control::Ping if !self.has_said_goodbye && self.unsent.len() < PONGS_MAX => {
                frame(OpCode::Control(Control::Pong), &said, &mut self.unsent);
            }
            Control::Close => {
                let (code, reason) = match said.split_first_chunk() {
                    Some((code, reason)) => (CloseCode::from(u16::from_be_bytes(*code)), reason),
                    None if said.is_empty() => (CloseCode::Normal, &[][..]),
                    None => return Err(wrong("a close frame has half a code")),
                };
                if !code.is_allowed() || str::from_utf8(reason).is_err() {
                    return Err(wrong("a close frame has a code or reason that must not be"));
                }
                self.close(code, "");
                return Ok(true);
            }
            _ => {}
        }
        Ok(false)
    }

    /// Adds a close frame, once.
    fn close(&mut self, code: CloseCode, reason: &str) {
        if mem::replace(&mut self.has_said_goodbye, true) {
            return;
        }
        let mut payload = u16::from(code).to_be_bytes().to_vec();
        let reason = &reason[..reason.floor_char_boundary(CONTROL_MAX as usize - 2)];
        payload.extend_from_slice(reason.as_bytes());
        frame(OpCode::Control(Control::Close), &payload, &mut self.unsent);
    }

    /// Tells the peer that nothing more comes.
    pub(crate) fn say_goodbye(&mut self) {
        if self.is_open() {
            self.close(CloseCode::Normal, "");
        }
    }

    /// Whether frames with packets may still be sent.
    pub(crate) fn may_speak(&self) -> bool {
        !self.has_said_goodbye
    }
}

/// Adds a frame of packets to `into`.
pub fn frame_packets(bytes: &[u8], into: &mut Vec<u8>) {
    frame(OpCode::Data(Data::Binary), bytes, into);
}

fn frame(opcode: OpCode, payload: &[u8], into: &mut Vec<u8>) {
    let header = FrameHeader { opcode, ..FrameHeader::default() };
    header.format(payload.len() as u64, into).expect("a Vec takes all");
    into.extend_from_slice(payload);
}

fn wrong(reason: impl Into<String>) -> Fault {
    Fault { code: CloseCode::Protocol, reason: reason.into() }
}

/// [RFC 6455, 5.3]; leaves the mask for the byte that comes next.
fn unmask(masked: &[u8], mask: &mut [u8; 4], into: &mut Vec<u8>) {
    let begin = into.len();
    into.extend_from_slice(masked);
    let new = into.get_mut(begin..).unwrap_or_default();
    let word =
        u64::from_ne_bytes([*mask, *mask].concat().try_into().expect("twice four are eight"));
    let (words, rest) = new.as_chunks_mut::<8>();
    for eight in words {
        *eight = (u64::from_ne_bytes(*eight) ^ word).to_ne_bytes();
    }
    for (byte, mask) in rest.iter_mut().zip(mask.iter().cycle()) {
        *byte ^= mask;
    }
    mask.rotate_left(masked.len() % 4);
}
